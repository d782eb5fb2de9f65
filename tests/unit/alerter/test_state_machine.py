"""Any life of a few hosts, with restarts, other rules and other alerters anywhere: nothing is lost or ended twice."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.alerter.evaluation.evaluator import STALE_MS, Evaluator
from shared.runtime.clock import ManualClock
from shared.schemas.alert import Alert
from shared.schemas.sample import Cpu
from tests.unit.alerter.support import CPU_RULE, DISK_RULE, rules, sample

FOR_MS, KEEP_MS, ENTER, LEAVE = 30_000, 15_000, 90, 75
RULES = rules(CPU_RULE)

VALUES = st.sampled_from([0.0, 50.0, 74.9, 75.0, 80.0, 90.0, 90.1, 95.0, 100.0])
PAUSES = st.sampled_from([1.0, 1.0, 1.0, 5.0, 14.0, 15.0, 29.0, 30.0, 31.0, 120.0, 400.0])
LEGAL = {
    ("inactive", "pending"),
    ("inactive", "firing"),
    ("pending", "firing"),
    ("pending", "inactive"),
    ("firing", "firing"),
    ("firing", "resolved"),
}


class Topic:
    """Alerts as everybody folds them."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.newest: dict[str, Alert] = {}

    def add(self, alerts: Iterable[Alert]) -> None:
        for alert in alerts:
            self.alerts.append(alert)
            if alert.alert_id not in self.newest or alert.ts >= self.newest[alert.alert_id].ts:
                self.newest[alert.alert_id] = alert

    def known(self, host_id: str) -> list[Alert]:
        return [a for a in self.newest.values() if a.host_id == host_id]

    def open(self) -> list[Alert]:
        return [a for a in self.newest.values() if a.state in ("pending", "firing")]

    def lives(self) -> list[list[Alert]]:
        found: dict[str, list[Alert]] = defaultdict(list)
        for a in self.alerts:
            found[a.alert_id].append(a)
        return list(found.values())


def check(topic: Topic) -> None:
    """What holds for any topic, whoever wrote it."""
    lives = topic.lives()
    for life in lives:
        assert all((a.previous_state, a.state) in LEGAL for a in life)
        assert all(b.previous_state == a.state and b.ts > a.ts for a, b in itertools.pairwise(life))
        assert all(b.reason == "got worse" for a, b in itertools.pairwise(life) if a.state == b.state)
        assert len({a.started_at for a in life}) == 1
        assert len({a.event_id for a in life}) == len(life)
        assert sum(a.state in ("resolved", "inactive") for a in life) <= 1
    still = [(life[-1].host_id, life[-1].rule) for life in lives if life[-1].state in ("pending", "firing")]
    assert len(still) == len(set(still))


class OneHost(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.clock = ManualClock()
        self.accepted: list[tuple[int, float]] = []
        self.topic = Topic()
        self.restarted_at = 0
        self._start()

    @property
    def alerts(self) -> list[Alert]:
        return self.topic.alerts

    def _start(self) -> None:
        self.evaluator = Evaluator(RULES, silent_after_ms=60_000, known=self.topic.known)
        known = list(self.topic.newest.values())
        assert not self.evaluator.restore(known, self.clock.now_ms(), self.clock.monotonic())

    def _send(self, ts: int, percent: float) -> None:
        event = sample("h1", ts, cpu=Cpu(count=1, percent=percent))
        self.topic.add(self.evaluator.sample(event, self.clock.now_ms(), self.clock.monotonic()))

    @rule(percent=VALUES, pause=PAUSES, times=st.integers(1, 4))
    def samples(self, percent: float, pause: float, times: int) -> None:
        for _ in range(times):
            self.clock.advance(pause)
            self.accepted.append((self.clock.now_ms(), percent))
            self._send(self.clock.now_ms(), percent)

    @precondition(lambda self: self.accepted and self.accepted[-1][0] > self.restarted_at)
    @rule(percent=VALUES, age=st.sampled_from([0, 1000, 20_000, 200_000, 4_000_000]))
    def old_news(self, percent: float, age: int) -> None:
        before = list(self.alerts)
        self._send(self.accepted[-1][0] - age, percent)
        assert self.alerts == before

    @rule(seconds=st.sampled_from([0.5, 5.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        said = self.evaluator.tick(self.clock.now_ms(), self.clock.monotonic())
        assert said == []  # one rule, its metric in every sample: time alone decides nothing

    @rule(again=st.integers(0, 200))
    def restart(self, again: int) -> None:
        """Killed and started again; the broker gives the last samples once more."""
        self._start()
        self.restarted_at = self.clock.now_ms()
        for ts, percent in self.accepted[len(self.accepted) - again :]:
            self._send(ts, percent)

    @invariant()
    def transitions_are_legal(self) -> None:
        if hasattr(self, "topic"):
            check(self.topic)

    @invariant()
    def nothing_fires_or_ends_too_early(self) -> None:
        for a in self.alerts if hasattr(self, "topic") else ():
            if a.state == "firing" and a.previous_state == "pending":
                values = [v for ts, v in self.accepted if a.started_at <= ts <= a.ts]
                assert a.ts - a.started_at >= FOR_MS
                assert min(values) >= LEAVE
                assert values[0] > ENTER
                assert values[-1] > ENTER
            elif a.state == "resolved":
                assert a.ended_at is not None
                assert a.ts - a.ended_at >= KEEP_MS
                assert all(v < LEAVE for ts, v in self.accepted if a.ended_at <= ts <= a.ts)

    @invariant()
    def what_must_fire_fires_and_what_must_end_ends(self) -> None:
        if not getattr(self, "accepted", None):
            return
        state = self.alerts[-1].state if self.alerts else "inactive"
        if self._lasted(lambda v: v > ENTER, FOR_MS, STALE_MS):
            assert state == "firing"
        if self._lasted(lambda v: v < LEAVE, KEEP_MS, None):
            assert state in ("inactive", "resolved")
        if not any(v > ENTER for _, v in self.accepted):
            assert not self.alerts

    def _lasted(self, holds, at_least: int, gap: int | None) -> bool:  # type: ignore[no-untyped-def]
        """Whether the newest samples all hold, over at least so long, without a longer pause than ``gap``."""
        newest = self.accepted[-1][0]
        later = newest
        for ts, value in reversed(self.accepted):
            if not holds(value) or (gap is not None and later - ts > gap):
                return False
            if newest - ts >= at_least and ts > self.restarted_at:
                return True
            later = ts
        return False

    def teardown(self) -> None:
        """Calm comes, and then everything is over."""
        if not hasattr(self, "clock"):
            return
        for _ in range(40):
            self.samples(0.0, 1.0, 1)
        assert self.topic.open() == []
        assert self.evaluator.open == 0


TestOneHost = OneHost.TestCase
TestOneHost.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    phases=[p for p in Phase if p is not Phase.explain],
)

HOSTS = ("h1", "h2", "h3")
ALERTERS = ("a", "b")
OTHER_RULES = {
    "as it was": RULES,
    "a lower threshold": rules(CPU_RULE.replace("above: 90", "above: 80")),
    "at once": rules(CPU_RULE.replace("for: 30s", "for: 0s")),
    "not for h2": rules(CPU_RULE + "    match: ['host_id!=\"h2\"']\n"),
    "gone": rules(DISK_RULE),
    "upside down": rules(CPU_RULE.replace("above: 90", "below: 10").replace("leave: 75", "leave: 25")),
}


class Alerters(RuleBasedStateMachine):
    """Two of them share the hosts, by partitions that come and go, with rules that change under them."""

    @initialize()
    def begin(self) -> None:
        self.clock = ManualClock()
        self.topic = Topic()
        self.owner = dict.fromkeys(HOSTS, "a")
        self.sent: dict[str, list[tuple[int, float]]] = {h: [] for h in HOSTS}
        self.rules = RULES
        self.alerters = {name: self._alerter(name) for name in ALERTERS}

    def _alerter(self, name: str) -> Evaluator:
        return Evaluator(
            self.rules,
            silent_after_ms=60_000,
            name=name,
            known=self.topic.known,
            ours=lambda host_id: self.owner[host_id] == name,
        )

    def _now(self) -> tuple[int, float]:
        return self.clock.now_ms(), self.clock.monotonic()

    def _send(self, host_id: str, ts: int, percent: float) -> None:
        event = sample(host_id, ts, cpu=Cpu(count=1, percent=percent))
        self.topic.add(self.alerters[self.owner[host_id]].sample(event, *self._now()))

    @rule(host_id=st.sampled_from(HOSTS), percent=VALUES, pause=PAUSES, times=st.integers(1, 4))
    def samples(self, host_id: str, percent: float, pause: float, times: int) -> None:
        for _ in range(times):
            self.clock.advance(pause)
            self.sent[host_id].append((self.clock.now_ms(), percent))
            self._send(host_id, self.clock.now_ms(), percent)

    @rule(seconds=st.sampled_from([0.0, 1.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for alerter in self.alerters.values():
            self.topic.add(alerter.tick(*self._now()))

    @rule(what=st.sampled_from(sorted(OTHER_RULES)))
    def rules_change(self, what: str) -> None:
        self.rules = OTHER_RULES[what]
        for alerter in self.alerters.values():
            self.topic.add(alerter.adopt(self.rules, self.clock.now_ms()))

    @rule(host_ids=st.sets(st.sampled_from(HOSTS), min_size=1), again=st.integers(0, 50), eager=st.booleans())
    def partitions_move(self, host_ids: set[str], again: int, eager: bool) -> None:
        """What was read and not acknowledged is read again by the next."""
        for host_id in host_ids:
            self.owner[host_id] = "b" if self.owner[host_id] == "a" else "a"
        for alerter in self.alerters.values():
            self.topic.add(alerter.reassigned(*self._now()))
            if eager:
                self.topic.add(alerter.restore(list(self.topic.newest.values()), *self._now()))
        self._read_again(host_ids, again)

    @rule(name=st.sampled_from(ALERTERS), again=st.integers(0, 50))
    def one_is_killed(self, name: str, again: int) -> None:
        self.alerters[name] = self._alerter(name)
        # A rule that went while nobody had its host ends what it said of it now.
        ends = self.alerters[name].restore(list(self.topic.newest.values()), *self._now())
        assert all(a.state in ("inactive", "resolved") for a in ends)
        self.topic.add(ends)
        self._read_again([h for h in HOSTS if self.owner[h] == name], again)

    def _read_again(self, host_ids: Iterable[str], again: int) -> None:
        before = len(self.topic.alerts)
        for host_id in sorted(host_ids):
            for ts, percent in self.sent[host_id][-again:] if again else ():
                self._send(host_id, ts, percent)
        # Of what was read before, no alert begins and ends again.
        ids = [a.event_id for a in self.topic.alerts]
        assert len(set(ids)) == len(ids), self.topic.alerts[before:]

    @invariant()
    def transitions_are_legal(self) -> None:
        if hasattr(self, "topic"):
            check(self.topic)

    @invariant()
    def nothing_that_is_open_is_lost(self) -> None:
        """An alert is open here when it is on the topic, or will be as soon as its host speaks."""
        if not hasattr(self, "topic"):
            return
        on_topic = {a.alert_id for a in self.topic.open()}
        held = [a.alert_id for e in self.alerters.values() for h in e._hosts for a in h.told.values()]
        assert len(held) == len(set(held)) == sum(e.open for e in self.alerters.values())
        assert set(held) <= on_topic
        here = {(name, h.host_id) for name, e in self.alerters.items() for h in e._hosts}
        assert {a.alert_id for a in self.topic.open() if (self.owner[a.host_id], a.host_id) in here} == set(held)

    def teardown(self) -> None:
        """Under the rules there are now, calm comes, and then everything is over."""
        if not hasattr(self, "clock"):
            return
        for _ in range(40):
            for host_id in HOSTS:
                self.samples(host_id, 50.0, 0.5, 1)
            self.time_passes(0.0)
        assert self.topic.open() == []
        assert [e.open for e in self.alerters.values()] == [0, 0]


TestAlerters = Alerters.TestCase
TestAlerters.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    phases=[p for p in Phase if p is not Phase.explain],
)
