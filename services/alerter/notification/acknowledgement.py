"""Acknowledgements: somebody has it in hand, until a time, and until it gets worse than what they saw."""

from __future__ import annotations

import heapq

from services.alerter.rules.rule import at_least
from shared.schemas.alert import Alert
from shared.schemas.control import Acknowledgement


class Acknowledgements:
    def __init__(self) -> None:
        self._all: dict[str, Acknowledgement] = {}
        self._ends: list[tuple[int, str]] = []

    def put(self, ack: Acknowledgement) -> None:
        self._all[ack.id] = ack
        if ack.expires_at is not None:
            heapq.heappush(self._ends, (ack.expires_at, ack.id))

    def drop(self, alert_id: str) -> None:
        self._all.pop(alert_id, None)

    def holding(self, alert: Alert, now: int) -> Acknowledgement | None:
        """The one in force; one that the alert has outgrown is not."""
        ack = self._all.get(alert.alert_id)
        if ack is None or (ack.expires_at is not None and ack.expires_at <= now) or outgrown(ack, alert):
            return None
        return ack

    def outgrown_by(self, alert: Alert, now: int) -> bool:
        """Whether somebody would still have it in hand if it had not got worse."""
        ack = self._all.get(alert.alert_id)
        return ack is not None and (ack.expires_at is None or ack.expires_at > now) and outgrown(ack, alert)

    def turn(self, now: int) -> list[str]:
        """Alerts whose acknowledgement may have expired since the last time."""
        expired = []
        while self._ends and self._ends[0][0] <= now:
            expired.append(heapq.heappop(self._ends)[1])
        return expired

    def next_turn(self) -> int | None:
        return self._ends[0][0] if self._ends else None


def outgrown(ack: Acknowledgement, alert: Alert) -> bool:
    """Whether the alert is worse than it was when somebody took it on."""
    if ack.severity is not None and alert.severity != ack.severity and at_least(alert.severity, ack.severity):
        return True
    if ack.value is None or alert.value is None or alert.threshold is None:
        return False
    sign = 1 if ack.value >= alert.threshold else -1
    return sign * (alert.value - ack.value) > 0
