"""Quiet hours as they are now: which are in force, until when, and whom they hold back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shared.alerting import quiet_hours
from shared.alerting.matching import matches
from shared.schemas.control import QuietHours

LOOK_AFTER_MS = 7 * 86_400_000
"""Where nothing changes for days."""


class Quiet:
    """Times are epoch milliseconds."""

    def __init__(self, hours: Iterable[QuietHours]) -> None:
        self._hours = {h.name: h for h in hours}
        self._in_force: dict[str, bool] = {}
        self.until: dict[str, int] = {}
        """When each is to be looked at again: when it begins or ends."""
        self.look_anew()

    def look_anew(self) -> None:
        """The clock was set back."""
        self.until = dict.fromkeys(self._hours, 0)

    def turn(self, now: int) -> set[str]:
        """The names of those that may have begun or ended since the last time."""
        turned = {name for name, until in self.until.items() if until <= now}
        for name in turned:
            hours = self._hours[name]
            self._in_force[name] = quiet_hours.is_quiet(hours, now)
            change = quiet_hours.next_change(hours, now)
            self.until[name] = now + LOOK_AFTER_MS if change is None else change
        return turned

    def next_turn(self) -> int | None:
        return min(self.until.values(), default=None)

    def holds(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether those of that name hold back an alert with these labels."""
        if not self._in_force.get(name):
            return False
        through = self._hours[name].lets_through
        return not (through and matches(through, labels))
