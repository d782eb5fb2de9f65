"""How finely and from which tier a stretch of history is answered. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from services.api import messages, times
from services.api.errors import unprocessable
from shared.runtime.settings import ClickhouseSettings

Tier = Literal["raw", "1m", "1h"]

AUTO_POINTS = 1000
MOST_POINTS = 20_000
MOST_POINTS_IN_ALL = 200_000
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
_DAY = 86_400
QUANTILES = ("p50", "p95", "p99")


@dataclass(frozen=True)
class Plan:
    """Milliseconds, but for ``step`` (seconds). Tiers hold before ``hours_until`` and ``minutes_until``."""

    start: int
    end: int
    step: int
    tier: Tier
    hours_until: int
    minutes_until: int

    @property
    def points(self) -> int:
        return _buckets(self.start, self.end, self.step)


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

    ``fleet``: many hosts are asked for, so few open minutes are read from raw. Raises ``ApiError`` 422.
    """
    if start >= end:
        raise unprocessable(messages.EMPTY_RANGE)
    wanted = _auto(start, end) if step is None else step
    tier = _tier(start, wanted, now_ms, kept)
    if without_quantiles and tier != "raw":
        if _gone(start, now_ms, kept.raw_days):
            raise unprocessable(messages.NO_QUANTILES.of(metric=without_quantiles))
        tier = "raw"
    grain = {"raw": 1, "1m": 60, "1h": 3600}[tier]
    seconds = -(-wanted // grain) * grain
    if _buckets(start, end, seconds) > MOST_POINTS:
        least = times.in_words(_coarse_enough(start, end, MOST_POINTS))
        raise unprocessable(messages.TOO_MANY_POINTS.of(most=MOST_POINTS, least=least))
    minute = now_ms // 60_000 * 60_000
    open_minutes = 3 if fleet else 10
    return Plan(
        start,
        end,
        seconds,
        tier,
        hours_until=(now_ms // 3_600_000 - 1) * 3_600_000 if tier == "1h" else 0,
        minutes_until=minute - open_minutes * 60_000,
    )


def _tier(start: int, step: int, now_ms: int, kept: ClickhouseSettings) -> Tier:
    if _gone(start, now_ms, kept.minute_days) or (step % 3600 == 0 and step >= 3600):
        return "1h"
    if _gone(start, now_ms, kept.raw_days) or step % 60 == 0:
        return "1m"
    return "raw"


def _gone(start: int, now_ms: int, days: int) -> bool:
    return start < now_ms - days * _DAY * 1000


def _auto(start: int, end: int) -> int:
    return _coarse_enough(start, end, AUTO_POINTS)


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
