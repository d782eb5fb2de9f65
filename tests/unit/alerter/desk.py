"""A notifier at work: with a clock of its own, receivers who answer as told, and a topic that remembers."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from typing import Any

from services.alerter.notification.notification import Notification
from services.alerter.notification.notifier import Notifier
from services.alerter.routing.file import parse
from services.alerter.routing.plan import Plan
from shared.schemas.alert import Alert, Attention, Delivery, DeliveryOutcome
from shared.schemas.control import Acknowledgement, Control, Matcher, Silence
from tests.unit.alerter.support import alert

START = 1_800_000_000_000
"""A Friday morning, 08:00 UTC."""

SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000

RECEIVERS = """
receivers:
  - {name: ops, email: {to: [ops@example.org]}}
  - {name: boss, email: {to: [boss@example.org]}}
"""


def plan(text: str = "route: {receiver: ops, group_by: [alertname]}") -> Plan:
    return parse("routing.yaml", text + RECEIVERS)


Answer = Callable[[Notification], DeliveryOutcome | None]


def taken(_: Notification) -> DeliveryOutcome | None:
    return "delivered"


class Desk:
    def __init__(self, given: Plan | None = None, *, answer: Answer = taken) -> None:
        """``answer``: how receivers answer; ``None``: never."""
        self.plan = given or plan()
        self.notifier = Notifier(self.plan)
        self.now = START
        self.answer = answer
        self.topic: list[Alert | Attention | Delivery] = []
        self.control: dict[str, Control] = {}
        self.sent: list[Notification] = []
        self.attention: list[Attention] = []
        self._number = 0

    def hear(self, *events: Alert | Attention | Delivery) -> None:
        for event in events:
            self.topic.append(event)
            self.notifier.hear(event)

    def fire(self, alert_id: str, **more: Any) -> Alert:
        fired = alert(alert_id, started_at=self.now, ts=self.now, **more)
        fired = fired.model_copy(update={"fingerprint": fingerprint(fired)})
        self.hear(fired)
        self.settle()
        return fired

    def end(self, fired: Alert) -> None:
        changes = {"state": "resolved", "previous_state": "firing", "ts": self.now, "ended_at": self.now}
        self.hear(fired.model_copy(update={**changes, "event_id": f"{fired.alert_id}:resolved"}))
        self.settle()

    def worsen(self, fired: Alert, **changes: object) -> Alert:
        more = {"previous_state": "firing", "ts": self.now, "reason": "got worse", "event_id": f"{self.now}:worse"}
        worse = fired.model_copy(update={**more, **changes})
        self.hear(worse)
        self.settle()
        return worse

    def tell(self, key: str, event: Control | None) -> None:
        self.control.pop(key, None)
        if event is not None:
            self.control[key] = event
        self.notifier.told(key, event)
        self.settle()

    def silence(self, lasts: int, *matchers: Matcher, silence_id: str = "s1", starts: int = 0) -> None:
        event = Silence(
            event_id=silence_id,
            ts=self.now,
            id=silence_id,
            matchers=list(matchers),
            starts_at=self.now + starts,
            ends_at=self.now + lasts,
            author="kim",
        )
        self.tell(f"silence:{silence_id}", event)

    def ack(self, fired: Alert, *, lasts: int | None = None) -> None:
        event = Acknowledgement(
            event_id=f"ack:{fired.alert_id}",
            ts=self.now,
            id=fired.alert_id,
            author="kim",
            expires_at=self.now + lasts if lasts else None,
            severity=fired.severity,
            value=fired.value,
        )
        self.tell(f"ack:{fired.alert_id}", event)

    def wait(self, ms: int) -> list[Notification]:
        """Time passes; what was sent meanwhile."""
        until, before = self.now + ms, len(self.sent)
        for _ in range(5000):
            due = self.notifier.next_due()
            if due is None or due > until:
                self.now = until
                return self.sent[before:]
            self.now = max(self.now, due)
            self.settle()
        raise AssertionError("it never comes to rest")

    def settle(self) -> None:
        """Decides until nothing more is to be decided now."""
        for _ in range(20):
            decision = self.notifier.decide(self.now)
            self.attention += decision.attention
            self.hear(*decision.attention)
            for notification in decision.notifications:
                self.sent.append(notification)
                if outcome := self.answer(notification):
                    self.hear(self.delivery(notification, outcome))
            due = self.notifier.next_due()
            if due is None or due > self.now:
                return
        raise AssertionError("it decides without end")

    def delivery(self, notification: Notification, outcome: DeliveryOutcome, channel: str = "email") -> Delivery:
        self._number += 1
        return Delivery(
            event_id=f"{notification.id}:{self._number}",
            ts=self.now,
            notification_id=notification.id,
            host_id=notification.alerts[0].host_id,
            receiver=notification.receiver,
            channel=channel,
            status=notification.status,
            alert_ids=[*(a.alert_id for a in notification.alerts), *notification.ids],
            attempt=1,
            outcome=outcome,
            occasion=notification.occasion,
            group_key=notification.group_key,
            resolved_ids=[a.alert_id for a in notification.resolved],
        )

    def succeed(self, rng: random.Random | None = None, given: Plan | None = None) -> None:
        """Another alerter takes over, which read the same topics; events of different hosts in any order."""
        self.notifier = self.another(rng, given)
        self.settle()

    def another(self, rng: random.Random | None = None, given: Plan | None = None) -> Notifier:
        """One that read all that this one did, and has decided nothing yet."""
        notifier = Notifier(given or self.plan)
        lines: dict[str, list[Alert | Attention | Delivery]] = {}
        for event in self.topic:
            lines.setdefault(event.host_id if rng else "", []).append(event)
        while lines:
            host = rng.choice(sorted(lines)) if rng else ""
            notifier.hear(lines[host].pop(0))
            if not lines[host]:
                del lines[host]
        for key, control in self.control.items():
            notifier.told(key, control)
        return notifier


def fingerprint(alert: Alert) -> str:
    """One for each rule, host and instance."""
    parts = (alert.rule, alert.host_id, alert.labels.get("instance", ""))
    return f"{zlib.crc32(' '.join(parts).encode()):016x}"


def said(notifications: list[Notification]) -> list[tuple[str, str, str]]:
    """Receiver, occasion, ``+`` what fires and ``-`` what is over."""
    return [
        (
            n.receiver,
            n.occasion,
            " ".join([f"+{a.alert_id}" for a in n.firing] + [f"-{a.alert_id}" for a in n.resolved]),
        )
        for n in notifications
    ]


def of(name: str, value: str) -> Matcher:
    return Matcher(name=name, value=value)
