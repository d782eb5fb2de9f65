"""Quiet hours: it is quiet whenever the clock on the wall of that place says so, whatever was done to the clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shared.schemas.control import QuietHours

_LOOK_AHEAD_DAYS = 9
_STEP = timedelta(hours=3)


def is_quiet(hours: QuietHours, at: int) -> bool:
    """At an instant, epoch milliseconds; in a zone that nobody knows it never is."""
    try:
        zone = _zone(hours.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    local = datetime.fromtimestamp(at // 1000, zone)
    minute, day = local.hour * 60 + local.minute, local.weekday()
    if hours.begins < hours.ends:
        return day in hours.days and hours.begins <= minute < hours.ends
    return (day in hours.days and minute >= hours.begins) or ((day - 1) % 7 in hours.days and minute < hours.ends)


def next_change(hours: QuietHours, after: int) -> int | None:
    """The first instant after ``after`` at which it begins or ends; ``None`` where there is none for nine days."""
    now = is_quiet(hours, after)
    return next((at for at in _instants(hours, after) if is_quiet(hours, at) != now), None)


def _instants(hours: QuietHours, after: int) -> list[int]:
    """Every instant at which the wall's clock may pass a limit, or is set, in order."""
    zone = _zone(hours.zone)
    begin = datetime.fromtimestamp(after // 1000, UTC)
    found: set[int] = set()
    first = begin.astimezone(zone).date() - timedelta(days=1)
    for number in range(_LOOK_AHEAD_DAYS + 2):
        day = first + timedelta(days=number)
        for minute in (0, hours.begins, hours.ends % 1440):
            found |= _instants_of(day, minute, zone)
    found |= _settings(begin, zone)
    return sorted(at for at in found if at > after)


def _instants_of(day: date, minute: int, zone: ZoneInfo) -> set[int]:
    """When the wall shows it: twice where the clock is set back, and some time nearby where it is never shown."""
    wall = datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=zone)
    return {round(wall.replace(fold=fold).timestamp() * 1000) for fold in (0, 1)}


def _settings(begin: datetime, zone: ZoneInfo) -> set[int]:
    """Instants at which the clock is set forward or back."""
    found = set()
    at = begin
    offset = at.astimezone(zone).utcoffset()
    for _ in range(_LOOK_AHEAD_DAYS * 8):
        later = at + _STEP
        if (then := later.astimezone(zone).utcoffset()) != offset:
            found.add(_when(at, later, zone))
        at, offset = later, then
    return found


def _when(low: datetime, high: datetime, zone: ZoneInfo) -> int:
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=int((high - low).total_seconds() // 2))
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == before else (low, middle)
    return round(high.timestamp() * 1000)


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
