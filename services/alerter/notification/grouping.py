"""One incident, one message: alerts of one rule wait a moment for each other. Pure, with the time given."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.alerter.notification.inhibition import is_silence
from services.alerter.notification.notification import Notification, Status, notifications
from shared.schemas.alert import Alert

WAIT_S = 2.0
CRITICAL_WAIT_S = 0.0
SILENCE_WAIT_S = 5.0
"""Hosts behind one cable go silent within a few seconds of each other."""

PAUSE_S = 10.0
CRITICAL_PAUSE_S = 1.0
"""Least time between two messages of one group."""

Key = tuple[str, str, Status]
"""``(receiver, rule, status)``"""


@dataclass(slots=True)
class _Group:
    due: float
    alerts: dict[str, Alert] = field(default_factory=dict)


class Groups:
    """Seconds are the monotonic clock's."""

    def __init__(self) -> None:
        self._groups: dict[Key, _Group] = {}
        self._last: dict[Key, float] = {}

    def add(self, receiver: str, status: Status, alert: Alert, now: float) -> None:
        key = (receiver, alert.rule, status)
        if key not in self._groups:
            self._groups[key] = _Group(max(now + _wait(alert), self._last.get(key, now - PAUSE_S) + _pause(alert)))
        self._groups[key].alerts[alert.alert_id] = alert
        self._groups[key].due = min(self._groups[key].due, self._sooner(key, alert, now))

    def take(self, now: float) -> list[Notification]:
        """What is due."""
        return [n for key in list(self._groups) if self._groups[key].due <= now for n in self._flush(key, now)]

    def take_containing(self, receiver: str, alert_id: str, now: float) -> list[Notification]:
        """The group that holds this firing alert, now: its end must not overtake it."""
        for key, group in self._groups.items():
            if key[0] == receiver and key[2] == "firing" and alert_id in group.alerts:
                return self._flush(key, now)
        return []

    def next_due(self) -> float | None:
        return min((g.due for g in self._groups.values()), default=None)

    def _sooner(self, key: Key, alert: Alert, now: float) -> float:
        return max(now + _wait(alert), self._last.get(key, now - PAUSE_S) + _pause(alert))

    def _flush(self, key: Key, now: float) -> list[Notification]:
        group = self._groups.pop(key)
        self._last[key] = now
        if len(self._last) > 10_000:
            self._last = {k: at for k, at in self._last.items() if now - at < PAUSE_S}
        return notifications(key[0], key[2], list(group.alerts.values()))


def _wait(alert: Alert) -> float:
    if is_silence(alert):
        return SILENCE_WAIT_S
    return CRITICAL_WAIT_S if alert.severity == "critical" else WAIT_S


def _pause(alert: Alert) -> float:
    return CRITICAL_PAUSE_S if alert.severity == "critical" else PAUSE_S
