"""Any life of a host, with restarts anywhere: nothing lost, nobody told twice, an end follows every beginning."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from services.alerter.notification.dispatch import Dispatcher

from services.alerter.evaluation.evaluator import STALE_MS, Evaluator
from services.alerter.history import Past, read
from shared.runtime.clock import ManualClock
from shared.schemas.alert import Alert, Delivery
from shared.schemas.codec import encode
from shared.schemas.sample import Cpu
from tests.unit.alerter.support import CPU_RULE, rules, sample

FOR_MS, KEEP_MS, ENTER, LEAVE = 30_000, 15_000, 90, 75
RULES = rules(CPU_RULE)
RECEIVERS = ("webhook", "email")

VALUES = st.sampled_from([0.0, 50.0, 74.9, 75.0, 80.0, 90.0, 90.1, 100.0])
PAUSES = st.sampled_from([1.0, 1.0, 1.0, 5.0, 14.0, 15.0, 29.0, 30.0, 31.0, 120.0, 400.0])
LEGAL = {
    ("inactive", "pending"),
    ("pending", "firing"),
    ("pending", "inactive"),
    ("firing", "resolved"),
}


class OneHost(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.clock = ManualClock()
        self.accepted: list[tuple[int, float]] = []
        self.topic: list[bytes] = []
        self.alerts: list[Alert] = []
        self.said: list[tuple[str, str, str]] = []
        self.untold: set[str] = set()
        self.restarted_at = 0
        self._start()

    def _start(self) -> None:
        past = Past()
        for value in self.topic:
            for event in read(value):
                past.add(event)
        self.evaluator = Evaluator(RULES, silent_after_ms=60_000)
        self.dispatcher = Dispatcher(RECEIVERS)
        known = [*past.open(), *past.ended_lately()]
        ended = self.evaluator.restore(known, self.clock.now_ms(), self.clock.monotonic())
        assert not ended
        self.dispatcher.restore(past, self.clock.monotonic())

    def _send(self, ts: int, percent: float) -> None:
        event = sample("h1", ts, cpu=Cpu(count=1, percent=percent))
        alerts = self.evaluator.sample(event, self.clock.now_ms(), self.clock.monotonic())
        self.alerts += alerts
        self.topic += [encode(a) for a in alerts]
        self.dispatcher.offer(alerts, self.clock.monotonic())

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

    @rule(settled=st.sampled_from(["delivered", "delivered", "permanent_failure", "gave_up"]))
    def deliver(self, settled: str) -> None:
        for notification in self.dispatcher.take(self.clock.monotonic()):
            for a in notification.alerts:
                self.said.append((notification.receiver, a.alert_id, notification.status))
            self.topic.append(
                encode(
                    Delivery(
                        event_id=f"{notification.id}:{len(self.topic)}",
                        ts=self.clock.now_ms(),
                        notification_id=notification.id,
                        host_id="h1",
                        receiver=notification.receiver,
                        channel=notification.receiver,
                        status=notification.status,
                        alert_ids=notification.alert_ids,
                        attempt=1,
                        outcome=settled,
                    )
                )
            )

    @rule(again=st.integers(0, 200))
    def restart(self, again: int) -> None:
        """Killed and started again; the broker gives the last samples once more."""
        told = set(self.said)
        over = {a.alert_id for a in self.alerts if a.state == "resolved"}
        # What fired and ended before anybody could be told of it goes untold when the alerter is killed then.
        self.untold |= {i for i in over if not any((r, i, "firing") in told for r in RECEIVERS)}
        self._start()
        self.restarted_at = self.clock.now_ms()
        for ts, percent in self.accepted[len(self.accepted) - again :]:
            self._send(ts, percent)

    @invariant()
    def transitions_are_legal(self) -> None:
        lives: dict[str, list[Alert]] = defaultdict(list)
        for a in getattr(self, "alerts", []):
            lives[a.alert_id].append(a)
        for life in lives.values():
            assert all((a.previous_state, a.state) in LEGAL for a in life)
            assert all(b.previous_state == a.state and b.ts > a.ts for a, b in itertools.pairwise(life))
            assert len({a.started_at for a in life}) == 1
        assert sum(1 for life in lives.values() if life[-1].state in ("pending", "firing")) <= 1

    @invariant()
    def nothing_fires_or_ends_too_early(self) -> None:
        for a in getattr(self, "alerts", []):
            if a.state == "firing":
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

    @invariant()
    def nobody_is_told_twice_and_ends_follow_beginnings(self) -> None:
        said = getattr(self, "said", [])
        assert all(count == 1 for count in Counter(said).values())
        for index, (receiver, alert_id, status) in enumerate(said):
            if status == "resolved":
                assert (receiver, alert_id, "firing") in said[:index]

    def teardown(self) -> None:
        """Calm comes, messages go out, and then everybody knows everything."""
        if not hasattr(self, "clock"):
            return
        for _ in range(40):
            self.samples(0.0, 1.0, 1)
            self.deliver("delivered")
        self.clock.advance(60)
        self.deliver("delivered")
        fired = {a.alert_id for a in self.alerts if a.state == "firing"}
        ended = {a.alert_id for a in self.alerts if a.state == "resolved"}
        assert fired == ended
        told = set(self.said)
        for alert_id in fired:
            for receiver in RECEIVERS:
                assert (receiver, alert_id, "firing") in told or alert_id in self.untold
                assert ((receiver, alert_id, "firing") in told) == ((receiver, alert_id, "resolved") in told)


TestOneHost = OneHost.TestCase
TestOneHost.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    phases=[p for p in Phase if p is not Phase.explain],
)
