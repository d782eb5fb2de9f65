"""How finely and from which tiers a stretch of history is answered. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from services.api import messages
from services.api.errors import unprocessable
from shared.runtime import times
from shared.runtime.settings import ClickhouseSettings

Tier = Literal["raw", "1m", "1h"]

AUTO_POINTS = 1000
MOST_POINTS = 20_000
MOST_POINTS_IN_ALL = 200_000
QUANTILES = ("p50", "p95", "p99")
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
_DAY = 86_400
_MINUTE_MS, _HOUR_MS = 60_000, 3_600_000


@dataclass(frozen=True)
class Stretch:
    """Epoch milliseconds, both ends included, answered from one tier."""

    tier: Tier
    start: int
    end: int


@dataclass(frozen=True)
class Plan:
    """``step`` in seconds; ``tier`` is the coarsest used. The stretches follow each other without overlap."""

    step: int
    tier: Tier
    stretches: tuple[Stretch, ...]
    points: int


def plan(
    start: int,
    end: int,
    step: int | None,
    now_ms: int,
    kept: ClickhouseSettings,
    *,
    without_quantiles: str = "",
    fleet: bool = False,
) -> Plan:
    """``step`` None chooses one. ``without_quantiles`` names a metric whose rollups lack what is asked for.

    ``fleet``: many hosts are asked for, so few open minutes are read from their readings. Raises ``ApiError`` 422.
    """
    if start >= end:
        raise unprocessable(messages.EMPTY_RANGE)
    wanted = _coarse_enough(start, end, AUTO_POINTS) if step is None else step
    tier = _tier(start, wanted, now_ms, kept)
    if without_quantiles and tier != "raw":
        if _gone(start, now_ms, kept.raw_days):
            raise unprocessable(messages.NO_QUANTILES.of(metric=without_quantiles))
        tier = "raw"
    grain = {"raw": 1, "1m": 60, "1h": 3600}[tier]
    seconds = -(-wanted // grain) * grain
    points = _buckets(start, end, seconds)
    if points > MOST_POINTS:
        least = times.in_words(_coarse_enough(start, end, MOST_POINTS))
        raise unprocessable(messages.TOO_MANY_POINTS.of(most=MOST_POINTS, least=least))
    return Plan(seconds, tier, tuple(_stretches(start, end, tier, now_ms, 3 if fleet else 10)), points)


def _stretches(start: int, end: int, tier: Tier, now_ms: int, open_minutes: int) -> list[Stretch]:
    """Hours that are closed from hour rollups, closed minutes after them from minutes, the open ones from readings."""
    if tier == "raw":
        return [Stretch("raw", start, end)]
    minutes_until = (now_ms // _MINUTE_MS - open_minutes) * _MINUTE_MS
    hours_until = (now_ms // _HOUR_MS - 1) * _HOUR_MS if tier == "1h" else 0
    at = start // _MINUTE_MS * _MINUTE_MS
    found = []
    if tier == "1h":
        at = start // _HOUR_MS * _HOUR_MS
        if at < min(hours_until, end):
            found.append(Stretch("1h", at, min(hours_until - 1, end)))
            at = hours_until
    if at < min(minutes_until, end):
        found.append(Stretch("1m", at, min(minutes_until - 1, end)))
        at = minutes_until
    if at <= end and end >= minutes_until:
        found.append(Stretch("raw", max(at, minutes_until), end))
    return found


def _tier(start: int, step: int, now_ms: int, kept: ClickhouseSettings) -> Tier:
    if _gone(start, now_ms, kept.minute_days) or step % 3600 == 0:
        return "1h"
    if _gone(start, now_ms, kept.raw_days) or step % 60 == 0:
        return "1m"
    return "raw"


def _gone(start: int, now_ms: int, days: int) -> bool:
    return start < now_ms - days * _DAY * 1000


def _coarse_enough(start: int, end: int, most: int) -> int:
    for step in _STEPS:
        if _buckets(start, end, step) <= most:
            return step
    days = 2
    while _buckets(start, end, days * _DAY) > most:
        days += 1
    return days * _DAY


def _buckets(start: int, end: int, step: int) -> int:
    return end // (step * 1000) - start // (step * 1000) + 1
