"""Monitoring that is behind says so, and claims nobody's silence meanwhile."""

from __future__ import annotations

import pytest

from services.alerter.evaluation.late import IDLE_S, OWN_HOST, Lateness
from services.alerter.rules.files import load_rules
from tests.unit.alerter.support import SILENCE_RULE, Watch

LATE_RULE = """
  - name: monitoring_late
    title: Monitoring is late
    late: 60s
    severity: critical
"""


def test_it_is_as_late_as_what_was_judged_last() -> None:
    lateness = Lateness()
    assert lateness.seconds is None
    lateness.answered(100, None)
    assert lateness.seconds == 0
    lateness.answered(130, None)
    assert lateness.seconds == 30
    lateness.answered(140, 125)
    assert lateness.seconds == 15
    lateness.answered(150, 148)
    assert lateness.seconds == 2


def test_a_broker_that_is_away_makes_nothing_late() -> None:
    lateness = Lateness()
    lateness.answered(100, 100)
    lateness.deaf()
    assert lateness.seconds is None
    lateness.answered(5000, None)
    assert lateness.seconds == 0


def test_who_has_nothing_to_read_is_not_late_but_a_rebalance_hides_nothing() -> None:
    lateness = Lateness()
    lateness.answered(100, 100)
    lateness.answered(150, None, assigned=False)
    lateness.answered(150 + IDLE_S / 2, None)
    assert lateness.seconds == 50 + IDLE_S / 2
    lateness.answered(200, None, assigned=False)
    lateness.answered(200 + IDLE_S, None, assigned=False)
    assert lateness.seconds == 0


class Behind(Watch):
    """Ticks with an alerter that has judged everything up to so many seconds ago."""

    def behind(self, seconds: float | None, times: int = 1) -> list[str]:
        said = []
        for _ in range(times):
            self.clock.advance(1)
            now = self.clock.monotonic()
            if seconds is None:
                self.evaluator.lateness.deaf()
            else:
                self.evaluator.lateness.answered(now, now - seconds)
            said += [a.state for a in self._said(self.evaluator.tick(self.clock.now_ms(), now))]
        return said


def test_being_late_is_an_alert_with_a_beginning_and_an_end() -> None:
    watch = Behind(LATE_RULE, name="alerter-1")
    watch.evaluator.lateness.answered(watch.clock.monotonic(), watch.clock.monotonic())
    # The newest that was judged stays where it is while time goes on.
    for _ in range(60):
        watch.clock.advance(1)
        watch.evaluator.lateness.answered(watch.clock.monotonic(), None)
        assert watch.tick() == []
    watch.clock.advance(1)
    watch.evaluator.lateness.answered(watch.clock.monotonic(), None)
    (fired,) = watch.tick()
    assert (fired.state, fired.severity, fired.host_id, fired.host) == ("firing", "critical", OWN_HOST, OWN_HOST)
    assert fired.summary == "Monitoring is late by 1 min 1 s alerter-1"
    assert (fired.value, fired.threshold) == (61, 60)
    assert fired.labels["condition"] == "late" and fired.labels["instance"] == "alerter-1"
    assert watch.behind(40, 5) == []
    assert watch.behind(2) == ["resolved"]
    assert watch.alerts[-1].alert_id == fired.alert_id
    assert watch.evaluator.open == 0


def test_while_it_is_late_nobody_is_called_silent() -> None:
    watch = Behind(LATE_RULE, SILENCE_RULE)
    watch.sample("h1")
    watch.behind(0)
    assert watch.behind(70) == []  # judged before, so it is not yet 70 s
    for _ in range(70):
        watch.clock.advance(1)
        watch.evaluator.lateness.answered(watch.clock.monotonic(), None)
        watch.evaluator.silence.listened(watch.clock.monotonic())
        watch._said(watch.evaluator.tick(watch.clock.now_ms(), watch.clock.monotonic()))
    assert [a.rule for a in watch.alerts] == ["monitoring_late"]
    watch.behind(0)
    assert watch.states("monitoring_late") == ["firing", "resolved"]
    assert watch.states("host_silent") == ["firing"]  # now it may be said


def test_a_broker_that_goes_away_meanwhile_changes_nothing() -> None:
    watch = Behind(LATE_RULE)
    watch.behind(0)
    for _ in range(62):
        watch.clock.advance(1)
        watch.evaluator.lateness.answered(watch.clock.monotonic(), None)
        watch.tick()
    assert watch.behind(None, 100) == []
    assert watch.states() == ["firing"]


def test_it_gets_worse_by_doubling() -> None:
    watch = Behind(LATE_RULE)
    watch.behind(0)
    for _ in range(1000):
        watch.clock.advance(1)
        watch.evaluator.lateness.answered(watch.clock.monotonic(), None)
        watch.tick()
    assert [round(a.value or 0) for a in watch.alerts] == [61, 180, 300, 540]
    assert len({a.event_id for a in watch.alerts}) == 4 and len({a.alert_id for a in watch.alerts}) == 1


@pytest.mark.parametrize("name", ["alerter-1", "alerter-2"])
def test_a_restart_goes_on_with_its_own_and_leaves_the_others(name: str) -> None:
    watch = Behind(LATE_RULE, name="alerter-1")
    watch.behind(0)
    for _ in range(62):
        watch.clock.advance(1)
        watch.evaluator.lateness.answered(watch.clock.monotonic(), None)
        watch.tick()
    again = Behind(LATE_RULE, name=name)
    again.clock = watch.clock
    assert again.evaluator.restore([watch.alerts[-1]], again.clock.now_ms(), 0.0) == []
    assert again.behind(0) == (["resolved"] if name == "alerter-1" else [])


def test_what_a_dead_alerter_left_behind_ends_after_hours() -> None:
    watch = Behind(LATE_RULE, name="gone")
    watch.behind(0)
    for _ in range(62):
        watch.clock.advance(1)
        watch.evaluator.lateness.answered(watch.clock.monotonic(), None)
        watch.tick()
    watch.clock.advance(4 * 3600)
    for ours, ends in ((False, []), (True, ["resolved"])):
        other = Behind(LATE_RULE, name="here", ours=lambda _, ours=ours: ours)
        said = other.evaluator.restore([watch.alerts[-1]], watch.clock.now_ms(), 0.0)
        assert [a.state for a in said] == ends


def test_what_a_dead_alerter_left_behind_is_looked_for_all_the_time() -> None:
    left = Behind(LATE_RULE, name="gone")
    left.behind(0)
    left.clock.advance(100)
    left.evaluator.lateness.answered(left.clock.monotonic(), None)
    left.tick()
    assert left.states() == ["firing"]
    topic = {a.alert_id: a for a in left.alerts}
    here = Behind(LATE_RULE, name="here", known=lambda host_id: topic.values() if host_id == OWN_HOST else ())
    here.clock = left.clock
    for _ in range(7):
        here.clock.advance(1800)
        here.behind(0)
        topic |= {a.alert_id: a for a in here.alerts}
    assert [(a.state, a.labels["instance"]) for a in here.alerts] == [("resolved", "gone")]
    assert here.evaluator.open == 0


def test_who_was_stopped_for_a_minute_and_catches_up_at_once_does_not_page() -> None:
    watch = Behind(LATE_RULE)
    watch.evaluator.adopt([r for r in load_rules(None) if r.late], watch.clock.now_ms())
    watch.behind(1)
    watch.clock.advance(300)
    for _ in range(5):
        watch.clock.advance(1)
        watch.evaluator.lateness.answered(watch.clock.monotonic(), None)
        watch.tick()
    assert watch.behind(1, 60) == ["inactive"]
    assert watch.states() == ["pending", "inactive"]
