"""Something that grows towards a limit, and when it gets there: rings of buckets from seconds to half a day wide.

What makes growth worth a word: it is steady over many buckets (no step, no noise), it has not stopped, it would
reach the limit within a few times the span it was watched for, and it goes where it has not been before (a sawtooth
has, a leak has not).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from services.detector.findings.ring import Ring, last
from services.detector.findings.trend import Trend, trend

_PEAKS_MS = (600_000, 7_200_000, 86_400_000)


@dataclass(frozen=True)
class Limits:
    """``reach``: how many times the watched span is looked ahead; ``farthest_ms``: never further than that.
    ``least``: share of the limit that must have been added. ``points``: the shortest stretches to look at, in buckets.
    """

    widths_ms: tuple[int, ...]
    points: tuple[int, ...]
    reach: float
    farthest_ms: int
    least: float
    shortest_ms: int = 0
    """A rise of a shorter time is none; a ramp at a start is one."""
    rising: float = 0.8
    step: float = 0.5
    tail: float = 0.5
    sure: float = 0.5
    """The slope's lower bound, as a share of the slope."""
    unrest: float = 2.0
    """How many times larger than ordinary falls the growth must be; one fall, a cleaning up, may be any size."""
    relaxed: float = 1.6
    """What is open stays while it is not this many times slower than what would open."""
    whole: bool = False
    """Only buckets that have ended count, for those that keep the least of their values."""
    ordinary: float = 0.9
    """A peak below this share of the limit that went away by itself is ordinary."""


class Forecast(msgspec.Struct, frozen=True):
    """``rate`` is per hour, in the unit of the value; ``full_ms`` and its interval count from now."""

    since_ms: int
    value: float
    growth: float
    rate: float
    full_ms: float
    soonest_ms: float
    latest_ms: float


class Growth(msgspec.Struct):
    """``forecasts``: what each ring said when it was last looked at."""

    rings: list[Ring]
    peaks: list[Ring]
    forecasts: list[Forecast | None]
    since_ms: int = -1

    @classmethod
    def new(cls, limits: Limits) -> Growth:
        rings = [Ring(w) for w in limits.widths_ms]
        return cls(rings, [Ring(w) for w in _PEAKS_MS], [None] * len(rings))

    def observe(
        self, ts_ms: int, value: float, limit: float, limits: Limits, keep: Callable[[float, float], float] = last
    ) -> Forecast | None:
        """``limit`` is the value at which nothing is left, in the same unit."""
        _pass_on(self.peaks, ts_ms, value, max)
        began = _pass_on(self.rings, ts_ms, value, keep)
        for n in range(began):
            self.forecasts[n] = self._look(self.rings[n], ts_ms, value, limit, limits)
        if self.since_ms < 0 and not began:
            return None
        for n in range(began, len(self.rings)):
            if (old := self.forecasts[n]) and value < old.value - old.growth / 3:
                self.forecasts[n] = None
        found = next((f for f in self.forecasts if f), None)
        if found is None:
            self.since_ms = -1
        elif self.since_ms < 0:
            self.since_ms = found.since_ms
        return found

    def _look(self, ring: Ring, ts_ms: int, value: float, limit: float, limits: Limits) -> Forecast | None:
        relax = limits.relaxed if self.since_ms >= 0 else 1.0
        left = limit - value
        # Most of the time there is no growth to speak of, and no need to look at all points, let alone all pairs.
        grown = (value - ring.lowest()) * relax
        if left <= 0 or grown < limits.least * limit or grown * limits.reach * 2 < left:
            return None
        buckets, values = ring.points()
        if limits.whole:
            buckets, values = buckets[:-1], values[:-1]
        unrest = _second_fall(values)
        for count in limits.points:
            if len(values) < count:
                return None
            times, part = buckets[-count:], values[-count:]
            span = (times[-1] - times[0]) * ring.width_ms
            if span < limits.shortest_ms:
                continue
            grown = part[-1] - part[0]
            if (
                grown * relax < limits.least * limit
                or grown * limits.reach * relax * 2 < left
                or grown * relax < limits.unrest * unrest
            ):
                continue
            found = trend(times, part)
            since = times[0] * ring.width_ms
            if found and self._worth(found, relax, limits) and not self._known(since, value, limit, limits):
                full = left / found.slope * ring.width_ms
                if full <= min(limits.reach * span, limits.farthest_ms) * relax:
                    return Forecast(
                        since_ms=since,
                        value=value,
                        growth=found.growth,
                        rate=found.slope * 3_600_000 / ring.width_ms,
                        full_ms=full,
                        soonest_ms=left / found.high * ring.width_ms,
                        latest_ms=left / found.low * ring.width_ms,
                    )
        return None

    def _worth(self, found: Trend, relax: float, limits: Limits) -> bool:
        return (
            found.low * relax >= limits.sure * found.slope
            and found.rising * relax >= limits.rising
            and found.step <= limits.step * relax
            and found.tail * relax >= limits.tail
        )

    def _known(self, since_ms: int, value: float, limit: float, limits: Limits) -> bool:
        peak = max(p.highest_before(since_ms) for p in self.peaks)
        return value <= peak < limits.ordinary * limit


def _pass_on(rings: list[Ring], ts_ms: int, value: float, keep: Callable[[float, float], float]) -> int:
    """How many rings, narrowest first, began a bucket: a wider ring hears of it only when the one before it did."""
    for n, ring in enumerate(rings):
        ended = ring.put(ts_ms, value, keep)
        if ended is None:
            return n
        value = keep(ended, value)
    return len(rings)


def _second_fall(values: list[float]) -> float:
    falls = sorted((a - b for a, b in pairwise(values)), reverse=True)
    return max(0.0, falls[1]) if len(falls) > 1 else 0.0
