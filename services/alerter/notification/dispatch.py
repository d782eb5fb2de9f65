"""From transitions to notifications: who is to be told what, once. Pure, with the time given.

An alert is told to a receiver when it fires, unless another alert says it already; its end is told to those who were
told of its beginning. When what inhibited an alert ends first, the alert is told then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from services.alerter.history import Past
from services.alerter.notification.grouping import Groups
from services.alerter.notification.inhibition import inhibitor
from services.alerter.notification.notification import Notification
from shared.schemas.alert import Alert


class Dispatcher:
    def __init__(self, receivers: Sequence[str]) -> None:
        self._receivers = tuple(receivers)
        self._firing: dict[str, dict[str, Alert]] = defaultdict(dict)
        """host -> alert id -> alert"""
        self._told: dict[str, set[str]] = {}
        """alert id -> receivers"""
        self._groups = Groups()
        self._overdue: list[Notification] = []

    def restore(self, past: Past, now: float) -> None:
        """Take up what was firing, and tell who should have been told and was not."""
        for alert in past.firing():
            self._firing[alert.host_id][alert.alert_id] = alert
            self._told[alert.alert_id] = past.settled(alert.alert_id, "firing") & set(self._receivers)
        for host_id in list(self._firing):
            self._tell(host_id, now)
        for alert in past.ended_lately():
            for receiver in past.tried(alert.alert_id, "firing") - past.settled(alert.alert_id, "resolved"):
                if receiver in self._receivers:
                    self._groups.add(receiver, "resolved", alert, now)

    def offer(self, alerts: Iterable[Alert], now: float) -> None:
        """Transitions in their order, already recorded."""
        touched: dict[str, None] = {}
        for alert in alerts:
            if alert.state == "firing":
                self._firing[alert.host_id][alert.alert_id] = alert
                self._told.setdefault(alert.alert_id, set())
                touched[alert.host_id] = None
            elif alert.previous_state == "firing":
                # What fired in the same batch and was not inhibited is told before its end.
                if alert.host_id in touched:
                    self._tell(alert.host_id, now)
                self._end(alert, now)
                touched[alert.host_id] = None
        for host_id in touched:
            self._tell(host_id, now)

    def take(self, now: float) -> list[Notification]:
        """What is to be sent now."""
        overdue, self._overdue = self._overdue, []
        return overdue + self._groups.take(now)

    def next_due(self) -> float | None:
        """When ``take`` will have something; 0 when it has already."""
        return 0.0 if self._overdue else self._groups.next_due()

    def _tell(self, host_id: str, now: float) -> None:
        """Everybody who was not told yet, of every alert of this host that nothing inhibits."""
        firing = self._firing.get(host_id, {})
        for alert in firing.values():
            untold = [r for r in self._receivers if r not in self._told[alert.alert_id]]
            if untold and inhibitor(alert, firing.values()) is None:
                for receiver in untold:
                    self._told[alert.alert_id].add(receiver)
                    self._groups.add(receiver, "firing", alert, now)

    def _end(self, alert: Alert, now: float) -> None:
        firing = self._firing[alert.host_id]
        firing.pop(alert.alert_id, None)
        if not firing:
            del self._firing[alert.host_id]
        for receiver in sorted(self._told.pop(alert.alert_id, ())):
            self._overdue += self._groups.take_containing(receiver, alert.alert_id, now)
            self._groups.add(receiver, "resolved", alert, now)
