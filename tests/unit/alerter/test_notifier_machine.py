"""Any course of events: nobody is told twice or not at all, ends follow beginnings, nothing hides longer than it says.

What is right is said here once more, without indices, timers or folding: from who knows what, and what holds now.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from services.alerter.notification.notification import Notification
from services.alerter.notification.notifier import UNANSWERED_MS
from services.alerter.routing.plan import Plan
from services.alerter.routing.receiver import Cap
from shared.alerting.matching import matches
from shared.alerting.routing import taken
from shared.schemas.alert import Alert, DeliveryOutcome
from shared.schemas.control import Acknowledgement, Silence
from tests.unit.alerter.desk import HOUR, MINUTE, SECOND, Desk, of, plan

REST = """
inhibit_rules:
  - {source: ['condition="silent"'], target: ['condition!="silent"'], equal: [host_id]}
  - source: ['severity="critical"', 'metric!=""']
    target: ['severity=~"warning|info"', 'metric!=""']
    equal: [host_id, metric]
flapping: {times: 2, within: 2h}
quiet_hours: [{name: noon, zone: UTC, from: "10:00", to: "14:00"}]
"""
ONE = """
route:
  receiver: ops
  group_by: [alertname]
  group_wait: 5s
  group_interval: 30s
  repeat_interval: 4h
  routes:
    - match: ['severity="critical"']
      group_wait: 0s
      group_interval: 10s
      escalate: [{after: 15m, receiver: boss}]
"""
OTHER = """
route:
  receiver: boss
  group_by: [host_id]
  group_wait: 30s
  group_interval: 1m
  quiet: [noon]
  routes:
    - {match: ['host_id="h1"'], receiver: ops, continue: true}
    - {match: [host_id=~"h1|h2"], group_by: [...]}
"""
PLANS = [plan(ONE + REST), plan(OTHER + REST)]
PLANS[1].receivers["ops"] = PLANS[1].receivers["ops"].model_copy(update={"cap": Cap(messages=1, per="10m")})

KINDS = {
    "memory_low": {"severity": "warning", "metric": "memory.percent"},
    "memory_exhausted": {"severity": "critical", "metric": "memory.percent"},
    "disk_filling": {"severity": "warning", "metric": "disk.percent"},
    "host_silent": {"severity": "critical", "condition": "silent"},
}
HOSTS = ["h1", "h2", "h3"]
OUTCOMES: list[DeliveryOutcome | None] = ["delivered", "delivered", "temporary_failure", "gave_up", None]
LASTS = [10 * SECOND, 7 * MINUTE, HOUR, 9 * HOUR]
TIMES = [SECOND, 5 * SECOND, 30 * SECOND, 6 * MINUTE, HOUR, 5 * HOUR]
WHICH = st.integers(0, 20)


class Course(RuleBasedStateMachine):
    @initialize(number=st.sampled_from([0, 1]), seed=st.integers(0, 2**32))
    def begin(self, number: int, seed: int) -> None:
        self.rng = random.Random(seed)
        self.desk = Desk(PLANS[number], answer=self.judge)
        self.fired: dict[str, Alert] = {}
        """Everything that ever fired, as it is now."""
        self.over: set[str] = set()
        self.knows: dict[tuple[str, str], int] = {}
        """Receiver and alert -> when it was last delivered as firing."""
        self.told_over: set[tuple[str, str]] = set()
        self.escalated: Counter[tuple[str, str, str]] = Counter()
        self.aloft: list[tuple[Notification, int]] = []
        self.up: dict[tuple[str, str], int] = {}
        """Receiver and alert -> since when a notification about it is with who delivers, unanswered."""
        self.worse: dict[str, int] = {}
        self.arrived: list[tuple[str, int]] = []
        """Receiver, and when it took a message."""
        self.number = 0
        self.reliable = False

    # -- what happens ------------------------------------------------------------------------------------------

    @rule(host=st.sampled_from(HOSTS), kind=st.sampled_from(sorted(KINDS)))
    def fire(self, host: str, kind: str) -> None:
        if any((a.host_id, a.rule) == (host, kind) and i not in self.over for i, a in self.fired.items()):
            return
        self.number += 1
        name = f"{kind}-{host}-{self.number}"
        self.fired[name] = self.desk.fire(name, host_id=host, rule=kind, **KINDS[kind])

    @precondition(lambda self: self.open())
    @rule(which=WHICH)
    def end(self, which: int) -> None:
        name = self.pick(which)
        self.over.add(name)
        self.desk.end(self.fired[name])

    @precondition(lambda self: self.open())
    @rule(which=WHICH, rises=st.booleans())
    def worsen(self, which: int, rises: bool) -> None:
        name = self.pick(which)
        alert = self.fired[name]
        changes: dict[str, object] = {"value": (alert.value or 0) + 1}
        if rises and alert.severity == "warning":
            changes |= {"severity": "critical", "labels": {**alert.labels, "severity": "critical"}}
        self.desk.wait(SECOND)
        self.worse[name] = self.desk.now
        self.fired[name] = alert.model_copy(update=changes)
        self.fired[name] = self.desk.worsen(alert, **changes)

    @rule(
        host=st.sampled_from(HOSTS),
        lasts=st.sampled_from(LASTS),
        number=st.sampled_from(["s1", "s2"]),
        starts=st.sampled_from([0, MINUTE]),
    )
    def silence(self, host: str, lasts: int, number: str, starts: int) -> None:
        self.desk.silence(lasts, of("host_id", host), silence_id=number, starts=starts)

    @rule(number=st.sampled_from(["s1", "s2"]))
    def unsilence(self, number: str) -> None:
        self.desk.tell(f"silence:{number}", None)

    @precondition(lambda self: self.open())
    @rule(which=WHICH, lasts=st.none() | st.sampled_from(LASTS))
    def ack(self, which: int, lasts: int | None) -> None:
        self.desk.ack(self.fired[self.pick(which)], lasts=lasts)

    @precondition(lambda self: self.open())
    @rule(which=WHICH)
    def unack(self, which: int) -> None:
        self.desk.tell(f"ack:{self.pick(which)}", None)

    @rule(ms=st.sampled_from(TIMES))
    def time(self, ms: int) -> None:
        self.desk.wait(ms)

    @rule()
    def take_over(self) -> None:
        """What the one before was about to deliver may yet arrive, or be lost with it."""
        self.aloft = [n for n in self.aloft if self.rng.random() < 0.5]
        self.up.clear()
        if self.desk.plan is PLANS[0]:  # where no cap asks who comes first
            assert self.would_say() == self.would_say(), "it depends on the order in which hosts were read"
        self.desk.succeed(self.rng, self.desk.plan)

    @rule(number=st.sampled_from([0, 1]))
    def reload(self, number: int) -> None:
        self.desk.plan = PLANS[number]
        self.desk.notifier.adopt(PLANS[number], self.desk.now)
        self.desk.settle()

    @precondition(lambda self: self.aloft)
    @rule()
    def answer_late(self) -> None:
        self.arrive(*self.aloft.pop(self.rng.randrange(len(self.aloft))))

    # -- what may be said --------------------------------------------------------------------------------------

    def would_say(self) -> tuple[list[str], list[tuple[str, str]]]:
        """What a successor decides first, and after an hour."""
        other = self.desk.another(self.rng)
        decisions = [other.decide(self.desk.now), other.decide(self.desk.now + HOUR)]
        said = sorted(n.id for d in decisions for n in d.notifications)
        return said, sorted((a.alert_id, a.state) for d in decisions for a in d.attention)

    def pick(self, which: int) -> str:
        return self.open()[which % len(self.open())]

    def open(self) -> list[str]:
        return sorted(i for i in self.fired if i not in self.over)

    def judge(self, n: Notification) -> DeliveryOutcome | None:
        """Is called for everything that is sent; how the receiver answers."""
        now = self.desk.now
        cap = self.desk.plan.receivers[n.receiver].cap
        lately = [at for receiver, at in self.arrived if receiver == n.receiver and at > now - cap.per]
        assert len(lately) < cap.messages, "more than its receiver is to be told"
        for alert in n.firing:
            assert alert.alert_id not in self.over
            assert not self.muted(alert), (n, "is silenced, inhibited or in somebody's hands")
        for alert in n.resolved:
            assert alert.alert_id in self.over
            assert (n.receiver, alert.alert_id) in self.knows, "its beginning was never told"
            assert (n.receiver, alert.alert_id) not in self.told_over, "told twice as over"
            assert not self.hidden(alert)
        for alert in n.alerts:
            assert now - self.up.get((n.receiver, alert.alert_id), -UNANSWERED_MS) >= UNANSWERED_MS, "is under way"
        before = {a.alert_id: self.knows.get((n.receiver, a.alert_id)) for a in n.firing}
        if n.occasion in ("first", "changed"):
            assert n.resolved or None in before.values(), "nothing is new in it"
        if n.occasion in ("first", "flapping"):
            assert set(before.values()) == {None}
        if n.occasion == "repeat":
            assert all(at is not None for at in before.values())
            assert any(self.may_repeat(n.receiver, i, at, now) for i, at in before.items() if at is not None)
        if n.occasion == "worsened":
            assert any(at is not None and at <= self.worse.get(i, -1) for i, at in before.items())
        if n.occasion == "escalation":
            for alert in n.firing:
                assert not self.escalated[n.receiver, alert.alert_id, n.group_key]
        assert n.firing or n.resolved
        outcome = "delivered" if self.reliable else self.rng.choice(OUTCOMES)
        if outcome == "delivered":
            self.arrived.append((n.receiver, now))
            self.note(n)
        elif outcome != "gave_up":
            self.aloft.append((n, now))
            self.up |= {(n.receiver, a.alert_id): now for a in n.alerts}
        return outcome

    def may_repeat(self, receiver: str, alert_id: str, told_at: int, now: int) -> bool:
        released = any(a.alert_id == alert_id and a.state == "active" and told_at <= a.ts for a in self.desk.attention)
        return released or now - told_at >= 4 * HOUR

    def note(self, n: Notification) -> None:
        for alert in n.firing:
            self.knows[n.receiver, alert.alert_id] = self.desk.now
            if n.occasion == "escalation":
                self.escalated[n.receiver, alert.alert_id, n.group_key] += 1
        for alert in n.resolved:
            self.told_over.add((n.receiver, alert.alert_id))

    def arrive(self, n: Notification, sent_at: int) -> None:
        if self.desk.now - sent_at > UNANSWERED_MS:
            return  # nobody tries for so long without a word
        known = self.desk.notifier._flights.get(n.id)
        if known is None and not all((n.receiver, a.alert_id) not in self.knows for a in n.alerts):
            return  # the lane of one who lost the lease delivers nothing any more
        for alert in n.alerts:
            self.up.pop((n.receiver, alert.alert_id), None)
        if self.rng.random() < 0.7:
            self.note(n)
            self.desk.hear(self.desk.delivery(n, "delivered"))
        else:
            self.desk.hear(self.desk.delivery(n, "gave_up"))
        self.desk.settle()

    # -- what holds now, the long way --------------------------------------------------------------------------

    def muted(self, alert: Alert) -> bool:
        return self.hidden(alert) or self.in_hand(alert)

    def hidden(self, alert: Alert) -> bool:
        now = self.desk.now
        if self.desk.plan is PLANS[1] and 10 <= datetime.fromtimestamp(now / 1000, UTC).hour < 14:
            return True
        silences = [s for s in self.desk.control.values() if isinstance(s, Silence)]
        if any(s.starts_at <= now < s.ends_at and matches(s.matchers, alert.labels) for s in silences):
            return True
        return any(self.inhibits(self.fired[i], alert) for i in self.open() if i in self.fired)

    def inhibits(self, source: Alert, target: Alert) -> bool:
        if source.alert_id == target.alert_id:
            return False
        for r in self.desk.plan.inhibit_rules:
            if (
                matches(r.source, source.labels)
                and matches(r.target, target.labels)
                and all(source.labels.get(n, "") == target.labels.get(n, "") for n in r.equal)
            ):
                return True
        return False

    def in_hand(self, alert: Alert) -> bool:
        ack = self.desk.control.get(f"ack:{alert.alert_id}")
        if not isinstance(ack, Acknowledgement) or (ack.expires_at is not None and ack.expires_at <= self.desk.now):
            return False
        risen = ack.severity != alert.severity
        return not risen and (alert.value or 0) <= (ack.value or 0)

    def due(self, alert: Alert, given: Plan) -> set[str]:
        return {given.routes[i].receiver for i in taken(given.routes, alert.labels)}

    def teardown(self) -> None:
        if not hasattr(self, "desk"):
            return
        self.reliable = True
        self.desk.wait(30 * HOUR)
        self.desk.wait(4 * HOUR if 10 <= datetime.fromtimestamp(self.desk.now / 1000, UTC).hour < 14 else 0)
        for name in self.open():
            alert = self.fired[name]
            if not self.muted(alert):
                for receiver in self.due(alert, self.desk.plan):
                    assert (receiver, name) in self.knows, (name, "is lost")
        for receiver, name in self.knows:
            if name in self.over and not self.hidden(self.fired[name]):
                assert (receiver, name) in self.told_over, (name, "ended and", receiver, "does not know")
        for silence in [s for s in self.desk.control.values() if isinstance(s, Silence)]:
            assert silence.ends_at <= self.desk.now


TestCourse = Course.TestCase
TestCourse.settings = settings(
    max_examples=int(os.environ.get("COURSES", "150")),
    stateful_step_count=40,
    deadline=None,
    phases=[p for p in Phase if p is not Phase.explain],
)


@pytest.mark.parametrize("seed", range(int(os.environ.get("COURSES", "20"))))
def test_long_courses_too(seed: int) -> None:
    """Deeper than hypothesis goes by itself: a hundred things happen, most of them small."""
    rng = random.Random(seed)
    course = Course()
    course.begin(number=rng.randrange(2), seed=seed)
    steps: list[tuple[int, Callable[[], object]]] = [
        (30, lambda: course.fire(host=rng.choice(HOSTS), kind=rng.choice(sorted(KINDS)))),
        (12, lambda: course.open() and course.end(which=rng.randrange(20))),
        (8, lambda: course.open() and course.worsen(which=rng.randrange(20), rises=rng.random() < 0.5)),
        (
            4,
            lambda: course.silence(
                host=rng.choice(HOSTS),
                lasts=rng.choice(LASTS),
                number=rng.choice(["s1", "s2"]),
                starts=rng.choice([0, MINUTE]),
            ),
        ),
        (2, lambda: course.unsilence(number=rng.choice(["s1", "s2"]))),
        (6, lambda: course.open() and course.ack(which=rng.randrange(20), lasts=rng.choice([None, *LASTS]))),
        (2, lambda: course.open() and course.unack(which=rng.randrange(20))),
        (30, lambda: course.time(ms=rng.choice(TIMES))),
        (3, course.take_over),
        (1, lambda: course.reload(number=rng.randrange(2))),
        (6, lambda: course.aloft and course.answer_late()),
    ]
    for step in rng.choices([s for _, s in steps], weights=[w for w, _ in steps], k=100):
        step()
    course.teardown()
