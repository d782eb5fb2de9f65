"""Rules about metrics, made ready for samples: what a section's values say to each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from services.alerter.evaluation.forecast import Series
from services.alerter.evaluation.host import Host
from services.alerter.evaluation.readings import Values, reader_of, section_of
from services.alerter.evaluation.state import Policy, Verdict
from services.alerter.rules.rule import Rule
from shared.schemas.metrics import BY_NAME
from shared.schemas.sample import HostSample

MOST_SERIES = 64
"""Of one host and forecast: more instances than that are not looked ahead for."""

Judged = Iterable[tuple[str, Verdict, float]]
"""``(instance, verdict, value)``"""


class Probe(Protocol):
    rule: Rule
    policy: Policy

    def judge(self, host: Host, values: Values, at: int, has: bool) -> Judged:
        """What the values say, of what is beyond or has an episode; the rest may be left out. ``has``: whether any
        has one.
        """
        ...


class Threshold:
    """Two thresholds, turned so that beyond is always above."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.policy = policy(rule)
        self._sign = 1.0 if rule.above is not None else -1.0
        self._enter = (rule.threshold or 0.0) * self._sign
        self._leave = self._enter if rule.leave is None else rule.leave * self._sign

    def judge(self, host: Host, values: Values, at: int, has: bool) -> Judged:
        sign, enter = self._sign, self._enter
        if not has:
            for _, value in values:
                if value * sign > enter:
                    break
            else:
                return ()
        name = self.rule.name
        return [
            (instance, self._verdict(value * sign), value)
            for instance, value in values
            if value * sign > enter or (name, instance) in host.episodes
        ]

    def _verdict(self, turned: float) -> Verdict:
        if turned > self._enter:
            return Verdict.BEYOND
        return Verdict.CALM if turned < self._leave or self._leave == self._enter else Verdict.BETWEEN


class Forecast:
    """Beyond when the target is near, calm when it is more than twice as far."""

    def __init__(self, rule: Rule) -> None:
        assert rule.forecast
        self.rule = rule
        self.policy = policy(rule)
        self._what = rule.forecast

    def judge(self, host: Host, values: Values, at: int, has: bool) -> Judged:
        name, what = self.rule.name, self._what
        judged = []
        for instance, value in values:
            key = (name, instance)
            series = host.series.get(key)
            if series is None:
                if len(values) > MOST_SERIES and sum(k[0] == name for k in host.series) >= MOST_SERIES:
                    continue
                series = host.series[key] = Series(what.over, rising=what.falls_to is None)
            series.observe(at, value)
            verdict = self._verdict(series.left_ms(what.target))
            if verdict is Verdict.BEYOND or (has and key in host.episodes):
                judged.append((instance, verdict, value))
        if len(host.series) > len(values):
            there = {instance for instance, _ in values}
            for key in [k for k in host.series if k[0] == name and k[1] not in there]:
                del host.series[key]
        return judged

    def _verdict(self, left: float | None) -> Verdict:
        # What is reached is another rule's business; the alert goes on meanwhile.
        if not left:
            return Verdict.BETWEEN
        if left <= self._what.within:
            return Verdict.BEYOND
        return Verdict.CALM if left > 2 * self._what.within else Verdict.BETWEEN


class Presence:
    """What is there is calm; what is not there any more, time says."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.policy = policy(rule)

    def judge(self, host: Host, values: Values, at: int, has: bool) -> Judged:
        judged = []
        for instance, value in values:
            key = (self.rule.name, instance)
            if key in host.seen or len(host.seen) < MOST_SERIES:
                host.seen[key] = at
            if has and key in host.episodes:
                judged.append((instance, Verdict.CALM, value))
        return judged


Readings = list[tuple[Callable[[Any], Values], bool, list[Probe]]]
"""``(reader, whether it has labels, probes)``"""

Sections = list[tuple[str, Callable[[HostSample], Any], Readings]]


def policy(rule: Rule) -> Policy:
    return Policy(rule.for_, rule.keep_firing_for)


def sections_of(rules: Sequence[Rule]) -> Sections:
    """The rules about metrics by section and metric, so that each is read once."""
    sections: dict[str, tuple[Callable[[HostSample], Any], dict[str, list[Probe]]]] = {}
    for rule in rules:
        if not rule.metric_name:
            continue
        metric = BY_NAME[rule.metric_name]
        _, probes = sections.setdefault(metric.section, (section_of(metric), {}))
        probe = Threshold(rule) if rule.metric else Forecast(rule) if rule.forecast else Presence(rule)
        probes.setdefault(metric.name, []).append(probe)
    return [
        (name, get, [(reader_of(BY_NAME[m]), bool(BY_NAME[m].label), found) for m, found in probes.items()])
        for name, (get, probes) in sections.items()
    ]
