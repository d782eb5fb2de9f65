"""When a metric will be somewhere, if it goes on as it does: one series, bounded memory, its own times. Pure.

The trend is looked at in twelve parts of the time watched, by the mean of each, so that neither the rate of sampling
nor noise counts. It is a trend when nearly all pairs of parts rise, none is a step, and it has not flattened; its
slope is the median of all pairs' slopes (Theil-Sen). What has been this high before and came down by itself, as a log
does that is rotated, may rise to there again unnoticed.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

PARTS = 12
LEAST_PARTS = 9
"""With fewer of them seen nothing is said."""

_CLEANED = 3
"""So many readings in a row that are far lower are no noise."""

_RISING = 0.8
_STEP = 0.3
_TAIL = 0.5
_PEAKS = 24
_PEAK_SPANS = 4
"""Each peak is of four times the time watched: four days of them at an hour."""
_ORDINARY = 0.9

_NONE = math.nan


class Series:
    """``over_ms``: the time watched. ``rising`` is towards a target above, otherwise below."""

    __slots__ = ("_count", "_growth", "_low", "_means", "_part", "_peak_part", "_peaks", "_sign", "_slope", "_sum",
                 "_width")  # fmt: skip

    def __init__(self, over_ms: int, *, rising: bool) -> None:
        self._width = max(1, over_ms // PARTS)
        self._sign = 1.0 if rising else -1.0
        self._part = -1
        self._sum = 0.0
        self._count = 0
        self._low = 0
        self._means = array("d")
        """Of the parts before this one, oldest first, ``nan`` where there was nothing."""
        self._peaks = array("d")
        self._peak_part = -1
        self._slope: float | None = None
        """Per part; 0 where there is no trend, ``None`` where that cannot be said."""
        self._growth = 0.0

    def observe(self, ts: int, value: float) -> None:
        """Readings in order of time; older ones are passed over."""
        value *= self._sign
        part = ts // self._width
        if part > self._part:
            self._close(part)
        elif part < self._part:
            return
        self._sum += value
        self._count += 1
        low = bool(self._means) and value < self._means[-1] - self._growth / 2
        self._low = self._low + 1 if low else 0

    def left_ms(self, target: float) -> float | None:
        """Milliseconds until the target at the present rate, 0 where it is reached, ``inf`` where it never will be,
        ``None`` where that cannot be said, or not yet.
        """
        if self._slope is None:
            return None
        now = self._sum / self._count
        left = target * self._sign - now
        if left <= 0:
            return 0.0
        if self._slope <= 0 or self._low >= _CLEANED or self._is_ordinary(now, left, self._slope):
            return math.inf
        return left / self._slope * self._width

    def _is_ordinary(self, now: float, left: float, a_part: float) -> bool:
        # The newest peak is of the present rise. A part is not always cut at the peak, so it may be more by one.
        peak = max(self._peaks[:-1], default=-math.inf)
        return now - a_part <= peak < now + _ORDINARY * left

    def _close(self, part: int) -> None:
        if self._count:
            mean = self._sum / self._count
            self._means.append(mean)
            self._means.extend([_NONE] * min(PARTS, part - self._part - 1))
            del self._means[:-PARTS]
            self._keep_peak(self._part // (PARTS * _PEAK_SPANS), mean)
            self._slope, self._growth = trend(self._means)
        self._part, self._sum, self._count = part, 0.0, 0

    def _keep_peak(self, span: int, value: float) -> None:
        if span == self._peak_part:
            self._peaks[-1] = max(self._peaks[-1], value)
        else:
            self._peaks.append(value)
            del self._peaks[:-_PEAKS]
            self._peak_part = span


def trend(means: Sequence[float]) -> tuple[float | None, float]:
    """Slope a part and growth in all; the slope is 0 where there is no trend, ``None`` where too little is known."""
    points = [(n, mean) for n, mean in enumerate(means) if not math.isnan(mean)]
    if len(means) < PARTS or len(points) < LEAST_PARTS:
        return None, 0.0
    growth = points[-1][1] - points[0][1]
    if growth <= 0:
        return 0.0, 0.0
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for n, a in enumerate(points) for b in points[n + 1 :]]
    rising = sum((s > 0) - (s < 0) for s in slopes) / len(slopes)
    steps = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(points)]
    slope = median(slopes)
    third = points[-1 - len(points) // 3]
    tail = (points[-1][1] - third[1]) / (points[-1][0] - third[0])
    if rising < _RISING or max(steps) > _STEP * growth or tail < _TAIL * slope:
        return 0.0, growth
    return slope, growth
