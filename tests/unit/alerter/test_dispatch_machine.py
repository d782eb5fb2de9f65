"""Any storm of alerts that inhibit each other: whoever is told of a beginning is told of its end, and nothing hides."""

from __future__ import annotations

from collections import Counter

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.alerter.notification.dispatch import Dispatcher
from services.alerter.notification.grouping import PAUSE_S, SILENCE_WAIT_S
from services.alerter.notification.inhibition import inhibitor
from shared.schemas.alert import Alert
from tests.unit.alerter.support import alert

KINDS = {
    "memory_low": {"severity": "warning", "metric": "memory.percent"},
    "memory_exhausted": {"severity": "critical", "metric": "memory.percent"},
    "disk_filling": {"severity": "warning", "metric": "disk.percent"},
    "host_silent": {"severity": "critical", "condition": "silent"},
}
RECEIVERS = ("webhook", "email")


class Storm(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.dispatcher = Dispatcher(RECEIVERS)
        self.now = 1000.0
        self.number = 0
        self.firing: dict[tuple[str, str], Alert] = {}
        self.said: list[tuple[str, str, str]] = []
        self.batch: list[Alert] = []

    @rule(host=st.sampled_from(["h1", "h2", "h3"]), kind=st.sampled_from(sorted(KINDS)))
    def fire(self, host: str, kind: str) -> None:
        if (host, kind) not in self.firing:
            self.number += 1
            fired = alert(f"{self.number}", rule=kind, host_id=host, **KINDS[kind])
            self.firing[host, kind] = fired
            self.batch.append(fired)

    @precondition(lambda self: self.firing)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.firing)))
        fired = self.firing.pop(key)
        ended = alert(fired.alert_id, rule=key[1], host_id=key[0], state="resolved", **KINDS[key[1]])
        self.batch.append(ended)

    @rule(seconds=st.sampled_from([0.0, 0.1, 2.0, 5.0, 20.0]))
    def go_on(self, seconds: float) -> None:
        """What happened since is offered as one batch, and what is due goes out."""
        self.dispatcher.offer(self.batch, self.now)
        self.batch = []
        self.now += seconds
        for n in self.dispatcher.take(self.now):
            self.said += [(n.receiver, a.alert_id, n.status) for a in n.alerts]

    @invariant()
    def once_and_in_order(self) -> None:
        said = getattr(self, "said", [])
        assert all(count == 1 for count in Counter(said).values())
        for index, (receiver, alert_id, status) in enumerate(said):
            if status == "resolved":
                assert (receiver, alert_id, "firing") in said[:index]

    def teardown(self) -> None:
        if not hasattr(self, "dispatcher"):
            return
        self.go_on(0.0)
        for _ in range(5):
            self.go_on(PAUSE_S + SILENCE_WAIT_S)
        told = set(self.said)
        for fired in self.firing.values():
            hidden = inhibitor(fired, self.firing.values()) is not None
            for receiver in RECEIVERS:
                assert hidden or (receiver, fired.alert_id, "firing") in told
                assert (receiver, fired.alert_id, "resolved") not in told
        still = {a.alert_id for a in self.firing.values()}
        for receiver, alert_id, status in told:
            if status == "firing" and alert_id not in still:
                assert (receiver, alert_id, "resolved") in told


TestStorm = Storm.TestCase
TestStorm.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    phases=[p for p in Phase if p is not Phase.explain],
)
