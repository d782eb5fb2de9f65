"""What deciding whom to bother costs: 100,000 alerts in 1,000 groups, and a storm of 10,000 hosts.

``python -m benchmarks.alerter [alerts] [hosts]``
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Iterable

from services.alerter.notification.notification import Notification
from services.alerter.notification.notifier import Notifier
from services.alerter.routing.file import SHIPPED, parse
from services.alerter.routing.plan import Plan
from services.alerter.routing.receiver import Cap, MailTo, Receiver
from shared.schemas.alert import Alert, Delivery
from shared.schemas.control import Matcher, Silence

START = 1_800_000_000_000
GROUPS = 1000
BATCH = 1000
"""Alerts heard between two decisions."""


def main(alerts: int = 100_000, hosts: int = 10_000) -> None:
    _many(alerts)
    _storm(hosts)


def _plan(cap: int = 1_000_000) -> Plan:
    email = Receiver(name="email", email=MailTo(to=["ops@example.org"]), cap=Cap(messages=cap))
    return parse("shipped.yaml", SHIPPED.read_text("utf-8"), [email])


def _many(number: int) -> None:
    print(f"{number} alerts in {GROUPS} groups, heard {BATCH} at a time, under the shipped routing")
    alerts = [_alert(n, f"rule{n % GROUPS}") for n in range(number)]
    silences = [_silence(n) for n in range(100)]
    tracemalloc.start()
    notifier = Notifier(_plan())
    for silence in silences:
        notifier.told(f"silence:{silence.id}", silence)
    _hear_all(notifier, alerts)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    notifier = Notifier(_plan())
    for silence in silences:
        notifier.told(f"silence:{silence.id}", silence)
    began = time.process_time()
    sent, now = _hear_all(notifier, alerts)
    fired = time.process_time() - began
    began = time.process_time()
    ends, _ = _hear_all(notifier, [_ended(a) for a in alerts], now)
    ended = time.process_time() - began
    row = "{:24} {:>10} {:>12} {:>10}"
    print(row.format("", "us/alert", "alerts/s", "messages"))
    print(row.format("fire, until all are told", f"{fired / number * 1e6:.1f}", f"{number / fired:.0f}", sent))
    print(row.format("end, until all are told", f"{ended / number * 1e6:.1f}", f"{number / ended:.0f}", ends))
    print(f"memory an alert, without the events themselves: {size / number:.0f} bytes")


def _storm(hosts: int) -> None:
    print(f"\nstorm: {hosts} hosts go silent within 10 s, each with two other alerts")
    notifier = Notifier(_plan(cap=30))
    alerts = []
    for n in range(hosts):
        alerts.append(_alert(n, "host_silent", host=n, condition="silent", severity="critical"))
        alerts += [_alert(n, rule, host=n) for rule in ("cpu_busy", "memory_low")]
    began = time.process_time()
    sent: list[Notification] = []
    now = START
    for at in range(0, len(alerts), 300):
        for alert in alerts[at : at + 300]:
            notifier.hear(alert)
        sent += _decide(notifier, now)
        now += 100
    now = _go_on(notifier, now, now + 600_000, sent)
    seconds = time.process_time() - began
    told = {a.alert_id for n in sent for a in n.firing}
    assert len(told) == hosts, "every silent host is told, and speaks for its other alerts"
    ends: list[Notification] = []
    for alert in alerts:
        notifier.hear(_ended(alert))
    ends += _decide(notifier, now)
    _go_on(notifier, now, now + 600_000, ends)
    assert {a.alert_id for n in ends for a in n.resolved} == told
    print(f"{len(alerts)} alerts, {len(sent)} messages and {len(ends)} about the end, {seconds:.1f} s of CPU")


def _hear_all(notifier: Notifier, alerts: list[Alert], now: int = START) -> tuple[int, int]:
    """How many messages, and when all was said."""
    sent: list[Notification] = []
    for at in range(0, len(alerts), BATCH):
        for alert in alerts[at : at + BATCH]:
            notifier.hear(alert)
        sent += _decide(notifier, now)
        now += 100
    now = _go_on(notifier, now, now + 120_000, sent)
    return len(sent), now


def _go_on(notifier: Notifier, now: int, until: int, sent: list[Notification]) -> int:
    while (due := notifier.next_due()) is not None and due <= until:
        now = max(now, due)
        sent += _decide(notifier, now)
    return until


def _decide(notifier: Notifier, now: int) -> list[Notification]:
    decision = notifier.decide(now)
    for attention in decision.attention:
        notifier.hear(attention)
    for delivery in _deliveries(decision.notifications, now):
        notifier.hear(delivery)
    return decision.notifications


def _deliveries(notifications: Iterable[Notification], now: int) -> Iterable[Delivery]:
    for n in notifications:
        yield Delivery(
            event_id=n.id,
            ts=now,
            notification_id=n.id,
            host_id="h",
            receiver=n.receiver,
            channel="email",
            status=n.status,
            alert_ids=[a.alert_id for a in n.alerts],
            attempt=1,
            outcome="delivered",
            occasion=n.occasion,
            group_key=n.group_key,
            resolved_ids=[a.alert_id for a in n.resolved],
        )


def _alert(
    number: int, rule: str, *, host: int | None = None, condition: str = "metric", severity: str = "warning"
) -> Alert:
    name = f"host{number // GROUPS if host is None else host}"
    labels = {"alertname": rule, "severity": severity, "host": name, "host_id": name, "condition": condition}
    if condition == "metric":
        labels["metric"] = rule
    return Alert.model_validate(
        {
            "event_id": f"{rule}:{number}",
            "ts": START,
            "alert_id": f"{rule}:{number}",
            "fingerprint": f"{rule}:{number}",
            "host_id": name,
            "host": name,
            "rule": rule,
            "state": "firing",
            "previous_state": "pending",
            "severity": severity,
            "labels": labels,
            "annotations": {"summary": f"{rule} on {name}"},
            "value": 97.5,
            "threshold": 90.0,
            "started_at": START,
            "summary": f"{rule} on {name}",
        }
    )


def _ended(alert: Alert) -> Alert:
    return alert.model_copy(update={"state": "resolved", "previous_state": "firing", "ts": alert.ts + 1})


def _silence(number: int) -> Silence:
    return Silence(
        event_id=f"s{number}",
        ts=START,
        id=f"s{number}",
        matchers=[Matcher(name="host", value=f"elsewhere{number}")],
        starts_at=START,
        ends_at=START + 86_400_000,
        author="kim",
    )


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
