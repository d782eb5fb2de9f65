"""Rules x events -> transitions: holds every pending and firing alert, in memory bounds, without I/O or a clock.

Callers give the time, publish what is returned, and never call it from two tasks at once.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.alerter.evaluation.absence import Silence
from services.alerter.evaluation.readings import Values, reader_of, section_of
from services.alerter.evaluation.state import Change, Episode, Policy, Reason, Verdict, end, step
from services.alerter.evaluation.timeline import Timeline, Timing
from services.alerter.evaluation.wording import quantity, sentence
from services.alerter.notification.inhibition import FINDING
from services.alerter.rules.rule import Language, Rule, at_least
from shared.alerting.matching import matches
from shared.schemas.alert import Alert
from shared.schemas.anomaly import Anomaly
from shared.schemas.metrics import BY_NAME
from shared.schemas.sample import HostSample

log = logging.getLogger(__name__)

STALE_MS = 300_000
"""A pause between readings that does not interrupt "it lasted"; longer where a section comes more rarely."""

ANOMALY_STALE_MS = 3_600_000
FORGET_AFTER_S = 7 * 86_400.0
_MOST_CONTRIBUTIONS = 5
_REMEMBERED_ANOMALIES = 64

Key = tuple[str, str]
"""``(rule, instance)``: the mountpoint, the device; empty where there is only one."""


@dataclass(slots=True)
class _Host:
    host_id: str
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    samples: Timeline = field(default_factory=Timeline)
    anomalies: Timeline = field(default_factory=Timeline)
    episodes: dict[Key, Episode] = field(default_factory=dict)
    told: dict[Key, Alert] = field(default_factory=dict)
    """The last event about each episode: what the next one is made from."""
    rhythm: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Section -> when it was last there, and the pause before that."""
    open_anomalies: dict[Key, set[str]] = field(default_factory=dict)
    closed_anomalies: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_ANOMALIES))


@dataclass(frozen=True, slots=True)
class _Probe:
    rule: Rule
    policy: Policy
    read: Callable[[Any], Values]


class Evaluator:
    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        silent_after_ms: int,
        language: Language = "en",
        max_hosts: int = 10_000,
        max_alerts: int = 100_000,
    ) -> None:
        self._rules = {r.name: r for r in rules}
        self._silent_after_ms = silent_after_ms
        self._language = language
        self._max_hosts = max_hosts
        self._max_alerts = max_alerts
        self._hosts: OrderedDict[str, _Host] = OrderedDict()
        self._alerts = 0
        self.silence = Silence()
        self.timings: Counter[Timing] = Counter()
        self.refused = 0
        """Alerts that could not begin because ``max_alerts`` were pending or firing."""
        self._sections: list[tuple[str, Callable[[HostSample], Any], list[_Probe]]] = []
        probes: dict[str, list[_Probe]] = defaultdict(list)
        for rule in rules:
            if rule.metric and BY_NAME[rule.metric].section != "score":
                metric = BY_NAME[rule.metric]
                if metric.section not in probes:
                    self._sections.append((metric.section, section_of(metric), probes[metric.section]))
                probes[metric.section].append(_Probe(rule, _policy(rule), reader_of(metric)))
        self._anomaly_rules = [r for r in rules if r.anomaly]
        self._silence_rules = [r for r in rules if r.condition == "silent"]

    @property
    def open(self) -> int:
        """Alerts pending or firing."""
        return self._alerts

    @property
    def hosts(self) -> int:
        return len(self._hosts)

    # -- events ------------------------------------------------------------------------------------------------

    def sample(self, sample: HostSample, now_ms: int, monotonic: float) -> list[Alert]:
        host, out = self._heard(sample.host_id, monotonic)
        timing = host.samples.judge(sample.ts, now_ms, monotonic)
        self.timings[timing] += 1
        if timing is not Timing.LIVE:
            return out
        host.name, host.labels = sample.host, sample.labels
        out += self._spoke_again(host, now_ms)
        for name, section, probes in self._sections:
            found = section(sample)
            if found is None:
                continue
            before, pause = host.rhythm.get(name, (0, 0))
            host.rhythm[name] = (sample.ts, sample.ts - before if before else 0)
            stale_ms = max(STALE_MS, 3 * pause)
            for probe in probes:
                out += self._probe(host, probe, probe.read(found), sample.ts, stale_ms)
        return out

    def anomaly(self, anomaly: Anomaly, now_ms: int, monotonic: float) -> list[Alert]:
        host, out = self._host(anomaly.host_id)
        host.name = host.name or anomaly.host
        closes = anomaly.state == "close"
        if not closes and (
            anomaly.anomaly_id in host.closed_anomalies
            or host.anomalies.judge(anomaly.ts, now_ms, monotonic) in (Timing.LATE, Timing.FUTURE)
        ):
            return out
        if closes:
            host.closed_anomalies.append(anomaly.anomaly_id)
        for rule in self._anomaly_rules:
            out += self._judge_anomaly(host, rule, anomaly, closes)
        return out

    def tick(self, now_ms: int, monotonic: float) -> list[Alert]:
        """What time alone brings about: silence, calm that has lasted, data that stopped coming."""
        out: list[Alert] = []
        for host in list(self._hosts.values()):
            out += self._tick_host(host, now_ms, monotonic)
        return out

    # -- restart -----------------------------------------------------------------------------------------------

    def restore(self, alerts: Iterable[Alert], now_ms: int, monotonic: float) -> list[Alert]:
        """Take up where the alerter before us stopped; returns the ends of alerts whose rule is gone.

        To be called before the first event, with the newest event of each alert: of those pending or firing, and of
        those that ended lately, so that what led to them and is read again does not lead to them again.
        """
        out: list[Alert] = []
        for alert in alerts:
            host, dropped = self._host(alert.host_id)
            out += dropped
            host.name = host.name or alert.host
            rule = self._rules.get(alert.rule)
            if rule and rule.condition == "metric":
                host.samples.newest = max(host.samples.newest, alert.ts)
            if alert.state in ("pending", "firing"):
                self.silence.heard(alert.host_id, monotonic)
                out += self._take_up(host, rule, alert, now_ms)
            elif alert.anomaly_id:
                host.closed_anomalies.append(alert.anomaly_id)
        return out

    def _take_up(self, host: _Host, rule: Rule | None, alert: Alert, now_ms: int) -> Iterator[Alert]:
        assert alert.state == "pending" or alert.state == "firing"
        key = (alert.rule, alert.labels.get(_INSTANCE, ""))
        episode = Episode(alert.state, alert.started_at, alert.ts, alert.ts, alert.value)
        host.episodes[key] = episode
        host.told[key] = alert
        self._alerts += 1
        if rule is None:
            yield self._ended(host, key, end(episode, Reason.RULE_GONE, now_ms))
        elif rule.condition == "anomaly" and alert.anomaly_id:
            host.open_anomalies.setdefault(key, set()).add(alert.anomaly_id)

    # -- conditions --------------------------------------------------------------------------------------------

    def _probe(self, host: _Host, probe: _Probe, values: Values, at: int, stale_ms: int) -> Iterator[Alert]:
        rule = probe.rule
        for instance, value in values:
            verdict = _verdict(rule, value)
            key = (rule.name, instance)
            if (verdict is Verdict.BEYOND or key in host.episodes) and self._applies(rule, host, instance):
                yield from self._step(host, rule, key, probe.policy, verdict, at, value, stale_ms)
        if BY_NAME[rule.metric or ""].label and host.episodes:
            there = {instance for instance, _ in values}
            for key in [k for k in host.episodes if k[0] == rule.name and k[1] not in there]:
                yield from self._step(host, rule, key, probe.policy, Verdict.GONE, at, None, stale_ms)

    def _judge_anomaly(self, host: _Host, rule: Rule, anomaly: Anomaly, closes: bool) -> Iterator[Alert]:
        """One alert a host and rule, whatever the number of its anomalies and however their findings change."""
        assert rule.anomaly
        key = (rule.name, "")
        members = host.open_anomalies.setdefault(key, set())
        wanted = (
            not closes
            and at_least(anomaly.severity, rule.anomaly.severity)
            and (not rule.anomaly.findings or anomaly.finding in rule.anomaly.findings)
            and self._applies(rule, host, "")
        )
        if wanted:
            members.add(anomaly.anomaly_id)
        elif closes:
            members.discard(anomaly.anomaly_id)
        # A severity that falls while the anomaly lasts does not end the alert: the anomaly does.
        verdict = Verdict.BEYOND if wanted else Verdict.BETWEEN if members else Verdict.CALM
        if not members:
            del host.open_anomalies[key]
        # Ticks look at the episode too, by our clock, which is ahead of the detector's news; these count all the same.
        at = max(anomaly.ts, host.episodes[key].seen_at + 1) if key in host.episodes else anomaly.ts
        yield from self._step(host, rule, key, _policy(rule), verdict, at, anomaly.score, ANOMALY_STALE_MS, anomaly)

    def _spoke_again(self, host: _Host, now_ms: int) -> Iterator[Alert]:
        for rule in self._silence_rules:
            key = (rule.name, "")
            if key in host.episodes:
                at = max(now_ms, host.episodes[key].seen_at + 1)
                yield from self._step(host, rule, key, _policy(rule), Verdict.CALM, at, None, STALE_MS)

    def _tick_host(self, host: _Host, now_ms: int, monotonic: float) -> Iterator[Alert]:
        silent_s = self.silence.silent_for(host.host_id)
        for rule in self._silence_rules:
            key = (rule.name, "")
            beyond = silent_s * 1000 >= rule.silent_after_ms(self._silent_after_ms)
            if beyond and key not in host.episodes and self._applies(rule, host, ""):
                yield from self._step(host, rule, key, _policy(rule), Verdict.BEYOND, now_ms, silent_s, STALE_MS)
            elif key in host.episodes and (beyond or host.episodes[key].calm_since is not None):
                verdict = Verdict.BEYOND if beyond else Verdict.CALM
                yield from self._step(host, rule, key, _policy(rule), verdict, now_ms, silent_s, now_ms)
        for rule in self._anomaly_rules:
            for key in [k for k in host.episodes if k[0] == rule.name]:
                yield from self._tick_anomaly(host, rule, key, now_ms)
        if host.episodes and not silent_s:
            yield from self._tick_stale(host, now_ms, monotonic)
        if self.silence.since_heard(host.host_id, monotonic) > FORGET_AFTER_S:
            yield from self._forget(host.host_id, now_ms)

    def _tick_anomaly(self, host: _Host, rule: Rule, key: Key, now_ms: int) -> Iterator[Alert]:
        """An anomaly says that it opened and that it closed; the time between passes here."""
        episode = host.episodes[key]
        if episode.state == "pending" and host.open_anomalies.get(key):
            yield from self._step(
                host, rule, key, _policy(rule), Verdict.BEYOND, now_ms, episode.value, ANOMALY_STALE_MS
            )
        elif episode.calm_since is not None:
            yield from self._step(host, rule, key, _policy(rule), Verdict.CALM, now_ms, None, ANOMALY_STALE_MS)
        elif now_ms - episode.seen_at > ANOMALY_STALE_MS:
            host.open_anomalies.pop(key, None)
            yield self._ended(host, key, end(episode, Reason.NO_DATA, now_ms))

    def _tick_stale(self, host: _Host, now_ms: int, monotonic: float) -> Iterator[Alert]:
        """The host speaks, but no longer of this."""
        if self.silence.since_heard(host.host_id, monotonic) * 1000 > STALE_MS:
            return
        for key, episode in list(host.episodes.items()):
            rule = self._rules[key[0]]
            if rule.metric and host.samples.newest:
                _, pause = host.rhythm.get(BY_NAME[rule.metric].section, (0, 0))
                if host.samples.newest - episode.seen_at > max(STALE_MS, 3 * pause):
                    yield self._ended(host, key, end(episode, Reason.NO_DATA, host.samples.newest))

    # -- bookkeeping -------------------------------------------------------------------------------------------

    def _host(self, host_id: str) -> tuple[_Host, list[Alert]]:
        """The host, and the ends of the alerts of the one that was forgotten for it."""
        out: list[Alert] = []
        host = self._hosts.get(host_id)
        if host is None:
            if len(self._hosts) >= self._max_hosts:
                out = list(self._forget(next(iter(self._hosts)), 0))
                log.warning("forgot the longest silent host: too many hosts", extra={"max_hosts": self._max_hosts})
            host = self._hosts[host_id] = _Host(host_id)
        return host, out

    def _heard(self, host_id: str, monotonic: float) -> tuple[_Host, list[Alert]]:
        host, out = self._host(host_id)
        self._hosts.move_to_end(host_id)
        self.silence.heard(host_id, monotonic)
        return host, out

    def _forget(self, host_id: str, now_ms: int) -> Iterator[Alert]:
        host = self._hosts.pop(host_id)
        self.silence.forget(host_id)
        for key, episode in list(host.episodes.items()):
            yield self._ended(host, key, end(episode, Reason.FORGOTTEN, now_ms))

    def _applies(self, rule: Rule, host: _Host, instance: str) -> bool:
        return not rule.match or matches(rule.match, self._labels(rule, host, instance))

    def _step(
        self,
        host: _Host,
        rule: Rule,
        key: Key,
        policy: Policy,
        verdict: Verdict,
        at: int,
        value: float | None,
        stale_ms: int,
        anomaly: Anomaly | None = None,
    ) -> Iterator[Alert]:
        before = host.episodes.get(key)
        if before is None and verdict is Verdict.BEYOND and self._alerts >= self._max_alerts:
            if not self.refused:
                log.error("too many alerts at once: no new ones begin", extra={"max_alerts": self._max_alerts})
            self.refused += 1
            return
        after, change = step(before, policy, verdict, at, value, stale_ms)
        if after is not None:
            host.episodes[key] = after
            if before is None:
                self._alerts += 1
        if change is None:
            return
        if after is None:
            yield self._ended(host, key, change)
            if change.reason is Reason.GAP and verdict is Verdict.BEYOND:
                yield from self._step(host, rule, key, policy, verdict, at, value, stale_ms, anomaly)
        else:
            alert = self._event(host, rule, key, after.started_at, change, anomaly)
            host.told[key] = alert
            yield alert

    def _ended(self, host: _Host, key: Key, change: Change) -> Alert:
        """Forgets the episode; its last event repeats what the one before said of it."""
        del host.episodes[key]
        self._alerts -= 1
        last = host.told.pop(key)
        return last.model_copy(
            update={
                "event_id": f"{last.alert_id}:{change.state}",
                "ts": change.at,
                "state": change.state,
                "previous_state": change.previous,
                "value": last.value if change.value is None else change.value,
                "ended_at": change.ended_at,
                "reason": str(change.reason),
            }
        )

    def _event(
        self, host: _Host, rule: Rule, key: Key, started_at: int, change: Change, anomaly: Anomaly | None
    ) -> Alert:
        texts = rule.texts(self._language)
        fingerprint = _digest(rule.name, host.host_id, key[1])
        alert_id = _digest(fingerprint, str(started_at))
        metric = {"silent": "seconds", "anomaly": ""}.get(rule.condition, rule.metric or "")
        threshold = {"silent": rule.silent_after_ms(self._silent_after_ms) / 1000, "anomaly": 1.0}.get(
            rule.condition, rule.threshold
        )
        summary = sentence(
            self._language,
            rule.condition,
            title=texts.title,
            host=host.name,
            metric=metric,
            instance=key[1] if rule.condition == "metric" else "",
            value=change.value,
            threshold=threshold,
        )
        previous = host.told.get(key)
        annotations = {"summary": summary, "title": texts.title, "advice": texts.advice}
        labels = self._labels(rule, host, key[1])
        if anomaly is not None:
            annotations |= _evidence(anomaly)
            labels[FINDING] = anomaly.finding
        elif previous is not None:
            annotations = {**previous.annotations, **annotations}
        return Alert(
            event_id=f"{alert_id}:{change.state}",
            ts=change.at,
            alert_id=alert_id,
            fingerprint=fingerprint,
            host_id=host.host_id,
            host=host.name,
            rule=rule.name,
            state=change.state,
            previous_state=change.previous,
            severity=rule.severity,
            labels=labels,
            annotations={k: v for k, v in annotations.items() if v},
            value=change.value,
            threshold=threshold,
            started_at=started_at,
            ended_at=change.ended_at,
            summary=summary[:1024],
            reason=str(change.reason),
            anomaly_id=anomaly.anomaly_id if anomaly else previous.anomaly_id if previous else "",
        )

    def _labels(self, rule: Rule, host: _Host, instance: str) -> dict[str, str]:
        """What rules match on and receivers route by: the host's own labels, then the rule's, then ours."""
        ours = {
            "alertname": rule.name,
            "severity": rule.severity,
            "host": host.name,
            "host_id": host.host_id,
            "condition": rule.condition,
        }
        if rule.metric:
            ours["metric"] = rule.metric
            if label := BY_NAME[rule.metric].label:
                ours[label] = instance
        if instance:
            ours[_INSTANCE] = instance
        theirs = {k[:_MOST_LABEL]: v[:_MOST_LABEL] for k, v in host.labels.items()}
        return {**theirs, **rule.labels, **ours}


_INSTANCE = "instance"
_MOST_LABEL = 256


def _policy(rule: Rule) -> Policy:
    return Policy(rule.for_, rule.keep_firing_for)


def _verdict(rule: Rule, value: float) -> Verdict:
    if rule.above is not None:
        if value > rule.above:
            return Verdict.BEYOND
        leave = rule.above if rule.leave is None else rule.leave
        return Verdict.CALM if value < leave or leave == rule.above else Verdict.BETWEEN
    assert rule.below is not None
    if value < rule.below:
        return Verdict.BEYOND
    leave = rule.below if rule.leave is None else rule.leave
    return Verdict.CALM if value > leave or leave == rule.below else Verdict.BETWEEN


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _evidence(anomaly: Anomaly) -> dict[str, str]:
    """What the detector found, in words."""
    worst = sorted(anomaly.contributions, key=lambda c: -c.share)[:_MOST_CONTRIBUTIONS]
    contributions = [
        f"{c.metric}{f' {instance}' if (instance := ' '.join(c.labels.values())) else ''} "
        f"{quantity(c.metric, c.value)} "
        f"(usually {quantity(c.metric, c.expected_low)} to {quantity(c.metric, c.expected_high)})"
        for c in worst
    ]
    return {
        "description": anomaly.summary,
        "contributions": "\n".join(contributions),
        "top_processes": "\n".join(
            f"{p.name} (pid {p.pid}): {p.cpu_percent:.0f} % cpu, {p.memory_percent:.1f} % memory"
            for p in anomaly.top_processes[:_MOST_CONTRIBUTIONS]
        ),
    }
