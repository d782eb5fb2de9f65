"""Who is told what: grouping, inhibition, and everything once."""

from __future__ import annotations

from services.alerter.history import Past
from services.alerter.notification.dispatch import Dispatcher
from services.alerter.notification.grouping import PAUSE_S, SILENCE_WAIT_S, WAIT_S
from services.alerter.notification.notification import MAX_ALERTS, Notification
from shared.schemas.alert import Alert, Delivery, DeliveryOutcome
from tests.unit.alerter.support import alert

NOW = 1000.0


def told(notifications: list[Notification]) -> list[tuple[str, str, list[str]]]:
    return [(n.receiver, n.status, n.alert_ids) for n in notifications]


def delivery(
    alert_id: str, *, status: str = "firing", receiver: str = "webhook", outcome: DeliveryOutcome = "delivered"
) -> Delivery:
    return Delivery(
        event_id=f"{alert_id}{status}{receiver}{outcome}",
        ts=1_800_000_100_000,
        notification_id="n",
        host_id="h1",
        receiver=receiver,
        channel=receiver,
        status=status,
        alert_ids=[alert_id],
        attempt=1,
        outcome=outcome,
    )


def past(*events: Alert | Delivery) -> Past:
    out = Past()
    for event in events:
        out.add(event)
    return out


def test_a_critical_alert_is_told_at_once_and_its_end_too() -> None:
    dispatcher = Dispatcher(["webhook", "email"])
    dispatcher.offer([alert("a", severity="critical")], NOW)
    assert told(dispatcher.take(NOW)) == [("webhook", "firing", ["a"]), ("email", "firing", ["a"])]
    assert dispatcher.take(NOW + 100) == []
    dispatcher.offer([alert("a", severity="critical", state="resolved")], NOW + 200)
    assert told(dispatcher.take(NOW + 200)) == [("email", "resolved", ["a"]), ("webhook", "resolved", ["a"])]
    assert dispatcher.next_due() is None


def test_warnings_of_one_rule_wait_for_each_other() -> None:
    dispatcher = Dispatcher(["webhook"])
    dispatcher.offer([alert("a", host_id="h1")], NOW)
    dispatcher.offer([alert("b", host_id="h2"), alert("c", host_id="h3", rule="disk_filling")], NOW + 1)
    assert dispatcher.take(NOW + WAIT_S - 0.1) == []
    assert dispatcher.next_due() == NOW + WAIT_S
    assert told(dispatcher.take(NOW + WAIT_S)) == [("webhook", "firing", ["a", "b"])]
    assert told(dispatcher.take(NOW + WAIT_S + 1)) == [("webhook", "firing", ["c"])]


def test_a_trickle_is_not_a_stream_of_messages() -> None:
    dispatcher = Dispatcher(["webhook"])
    messages: list[Notification] = []
    for second in range(60):
        dispatcher.offer([alert(f"a{second}", host_id=f"h{second}")], NOW + second)
        messages += dispatcher.take(NOW + second)
    messages += dispatcher.take(NOW + 100)
    assert len(messages) <= 60 / PAUSE_S + 2
    assert sorted(i for n in messages for i in n.alert_ids) == sorted(f"a{s}" for s in range(60))


def test_a_thousand_silent_hosts_are_one_message() -> None:
    dispatcher = Dispatcher(["webhook"])
    for i in range(1000):
        dispatcher.offer(
            [alert(f"a{i}", host_id=f"h{i}", rule="host_silent", condition="silent", severity="critical")],
            NOW + i * 0.004,
        )
    (message,) = dispatcher.take(NOW + SILENCE_WAIT_S)
    assert len(message.alerts) == 1000


def test_a_message_has_an_end() -> None:
    dispatcher = Dispatcher(["webhook"])
    dispatcher.offer([alert(f"a{i}", host_id=f"h{i}") for i in range(2 * MAX_ALERTS + 1)], NOW)
    assert [len(n.alerts) for n in dispatcher.take(NOW + WAIT_S)] == [MAX_ALERTS, MAX_ALERTS, 1]


def test_an_end_never_overtakes_its_beginning() -> None:
    dispatcher = Dispatcher(["webhook"])
    dispatcher.offer([alert("a")], NOW)
    dispatcher.offer([alert("a", state="resolved")], NOW + 0.1)
    messages = dispatcher.take(NOW + 0.1) + dispatcher.take(NOW + WAIT_S + PAUSE_S)
    assert told(messages) == [("webhook", "firing", ["a"]), ("webhook", "resolved", ["a"])]


def test_both_in_one_batch_are_told_in_order() -> None:
    dispatcher = Dispatcher(["webhook"])
    dispatcher.offer([alert("a"), alert("a", state="resolved")], NOW)
    messages = dispatcher.take(NOW) + dispatcher.take(NOW + WAIT_S)
    assert [n.status for n in messages] == ["firing", "resolved"]


def test_pending_and_what_never_fired_is_not_told() -> None:
    dispatcher = Dispatcher(["webhook"])
    dispatcher.offer([alert("a", state="pending"), alert("a", state="inactive")], NOW)
    assert dispatcher.take(NOW + 100) == []


def test_a_silent_host_speaks_for_its_other_alerts() -> None:
    silent = {"rule": "host_silent", "condition": "silent", "severity": "critical"}
    dispatcher = Dispatcher(["webhook"])
    dispatcher.offer([alert("s", **silent)], NOW)
    dispatcher.offer([alert("a")], NOW + 1)
    dispatcher.offer([alert("b", host_id="h2")], NOW + 1)
    assert told(dispatcher.take(NOW + 10)) == [("webhook", "firing", ["s"]), ("webhook", "firing", ["b"])]
    # It speaks again, and what is still wrong with it is told now.
    dispatcher.offer([alert("s", state="resolved", **silent)], NOW + 20)
    assert told(dispatcher.take(NOW + 40)) == [("webhook", "resolved", ["s"]), ("webhook", "firing", ["a"])]


def test_the_worse_of_two_says_it() -> None:
    dispatcher = Dispatcher(["webhook"])
    warning, critical = alert("w", rule="memory_low"), alert("c", rule="memory_exhausted", severity="critical")
    dispatcher.offer([warning, critical], NOW)
    assert told(dispatcher.take(NOW + 5)) == [("webhook", "firing", ["c"])]
    # The lesser ends first: nobody knew of it, nobody need know.
    dispatcher.offer([alert("w", rule="memory_low", state="resolved")], NOW + 10)
    assert dispatcher.take(NOW + 50) == []


def test_a_worse_anomaly_says_it_whatever_its_finding() -> None:
    dispatcher = Dispatcher(["webhook"])
    both = [
        alert("w", rule="anomaly", condition="anomaly", labels={"finding": "unusual"}),
        alert("c", rule="anomaly_critical", condition="anomaly", severity="critical", labels={"finding": "cpu"}),
    ]
    dispatcher.offer(both, NOW)
    assert told(dispatcher.take(NOW + 5)) == [("webhook", "firing", ["c"])]


def test_two_disks_do_not_hide_each_other() -> None:
    dispatcher = Dispatcher(["webhook"])
    dispatcher.offer(
        [
            alert("w", rule="disk_filling", metric="disk.percent", labels={"mountpoint": "/"}),
            alert("c", rule="disk_full", metric="disk.percent", severity="critical", labels={"mountpoint": "/var"}),
        ],
        NOW,
    )
    assert sorted(n.rule for n in dispatcher.take(NOW + 5)) == ["disk_filling", "disk_full"]


def test_after_a_restart_nobody_is_told_twice() -> None:
    dispatcher = Dispatcher(["webhook", "email"])
    dispatcher.restore(past(alert("a"), delivery("a"), delivery("a", receiver="email")), NOW)
    assert dispatcher.take(NOW + 100) == []
    dispatcher.offer([alert("a", state="resolved")], NOW + 200)
    assert [n.receiver for n in dispatcher.take(NOW + 300)] == ["email", "webhook"]


def test_after_a_restart_who_was_not_told_is() -> None:
    dispatcher = Dispatcher(["webhook", "email"])
    dispatcher.restore(
        past(alert("a"), delivery("a"), delivery("a", receiver="email", outcome="temporary_failure")), NOW
    )
    assert told(dispatcher.take(NOW + 5)) == [("email", "firing", ["a"])]


def test_after_a_restart_refusals_are_final() -> None:
    dispatcher = Dispatcher(["webhook", "email"])
    dispatcher.restore(
        past(
            alert("a"),
            delivery("a", outcome="permanent_failure"),
            delivery("a", receiver="email", outcome="gave_up"),
        ),
        NOW,
    )
    assert dispatcher.take(NOW + 100) == []


def test_after_a_restart_an_end_that_was_not_told_is() -> None:
    dispatcher = Dispatcher(["webhook", "email"])
    dispatcher.restore(past(alert("a"), delivery("a"), alert("a", state="resolved", ts=1_800_000_090_000)), NOW)
    assert told(dispatcher.take(NOW + 5)) == [("webhook", "resolved", ["a"])]


def test_after_a_restart_an_end_that_was_told_is_not_told_again() -> None:
    dispatcher = Dispatcher(["webhook"])
    ended = alert("a", state="resolved", ts=1_800_000_090_000)
    dispatcher.restore(past(alert("a"), delivery("a"), ended, delivery("a", status="resolved")), NOW)
    assert dispatcher.take(NOW + 100) == []


def test_after_a_restart_a_new_receiver_learns_what_is_wrong() -> None:
    dispatcher = Dispatcher(["webhook", "email"])
    dispatcher.restore(past(alert("a"), delivery("a")), NOW)
    assert told(dispatcher.take(NOW + 5)) == [("email", "firing", ["a"])]


def test_without_receivers_nothing_piles_up() -> None:
    dispatcher = Dispatcher([])
    for i in range(1000):
        dispatcher.offer([alert(f"a{i}"), alert(f"a{i}", state="resolved")], NOW + i)
    assert dispatcher.take(NOW + 5000) == []
    assert not dispatcher._firing
    assert not dispatcher._told
