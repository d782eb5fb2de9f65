"""One metric of one host: where it usually is, and how far from there it usually strays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median
from typing import Any

from services.detector.calibration import HIGHEST, SIGMAS
from services.detector.lean_river import EWMean
from services.detector.traits import Trait

MIN_READINGS = 8
"""Before these a metric has no score."""
SETTLED_READINGS = 40
"""Until these the band is computed from all readings, robustly: a machine that has just started is not at rest."""
MEMORY_SECONDS = 600.0
"""A reading's weight falls to 1/e in this time."""
LEARN_ANOMALOUS_EVERY = 12
"""Of readings outside the band only each so-manyth is learned."""


class Band:
    """Score, then learn. What is far out is learned seldom and only as far as the band's edge, so that a fault does
    not become normal at once; but it does widen the band, so that a change which stays is normal after some minutes.
    """

    __slots__ = (
        "_early",
        "_fading",
        "_first_ms",
        "_mean",
        "_outside",
        "_readings",
        "_spread",
        "_trait",
        "interval_ms",
        "reading",
        "score",
        "seen_ms",
        "value",
    )

    def __init__(self, trait: Trait, now_ms: int) -> None:
        self._trait = trait
        self._readings = 0
        self._outside = 0
        self._first_ms = now_ms
        self._early: list[float] | None = []
        self._fading = 0.0
        self._mean: EWMean | None = None
        self._spread: EWMean | None = None
        self.seen_ms = now_ms
        self.interval_ms = 0
        self.reading = 0.0
        self.score = 0.0
        self.value = 0.0

    def observe(self, value: float, now_ms: int) -> float:
        """The score of ``value``; afterwards it is learned."""
        reading = self.reading = math.log1p(max(0.0, value)) if self._trait.ratio else value
        if self._readings:
            self.interval_ms = now_ms - self.seen_ms
        self.seen_ms, self.value = now_ms, value
        if self._readings < MIN_READINGS:
            self._learn(reading)
            return 0.0
        centre, edge = self._centre_and_edge()
        self.score = self._score(value, reading, centre, edge)
        if self.score <= 1:
            self._outside = 0
            self._learn(reading)
        else:
            self._outside += 1
            if self._early is not None or self._outside % LEARN_ANOMALOUS_EVERY == 0:
                self._learn(min(max(reading, centre - edge), centre + edge))
        return self.score

    @property
    def noise(self) -> float:
        return self._trait.noise

    def unit(self, reading: float) -> float:
        """A reading in the metric's own unit."""
        return math.expm1(min(reading, 700.0)) if self._trait.ratio else reading

    def shift(self, by_ms: int) -> None:
        """Time is counted from elsewhere now."""
        self._first_ms += by_ms
        self.seen_ms += by_ms

    def state(self) -> list[Any]:
        """All there is to go on from, as plain values."""
        settled = [self._fading, self._mean.get(), self._spread.get()] if self._mean and self._spread else None
        times = [self._first_ms, self.seen_ms, self.interval_ms]
        return [self._readings, self._outside, times, self._early, settled, self.reading, self.value, self.score]

    @classmethod
    def restored(cls, trait: Trait, state: Sequence[Any]) -> Band:
        """Raises ``ValueError`` or ``TypeError`` on what is no such state."""
        readings, outside, (first_ms, seen_ms, interval_ms), early, settled, reading, value, score = state
        band = cls(trait, int(first_ms))
        band._readings, band._outside = int(readings), int(outside)
        band.seen_ms, band.interval_ms = int(seen_ms), int(interval_ms)
        band.reading, band.value, band.score = float(reading), float(value), float(score)
        if settled:
            band._begin(*map(float, settled))
        else:
            band._early = [float(r) for r in early]
        return band

    def expected(self) -> tuple[float, float]:
        """The values that score at most 1, low and high, in the metric's own unit."""
        centre, edge = self._centre_and_edge()
        middle = self.unit(centre)
        high = max(self.unit(centre + edge), middle + self._trait.matters)
        low = min(self.unit(centre - edge), middle - self._trait.matters) if self._trait.falls else 0.0
        return max(0.0, low), high if self._trait.most is None else min(high, self._trait.most)

    def _score(self, value: float, reading: float, centre: float, edge: float) -> float:
        away = reading - centre
        if away < 0 and not self._trait.falls:
            return 0.0
        # Unusual is not enough: it must also be large enough to matter.
        unusual = abs(away) / edge
        matters = abs(value - self.unit(centre)) / self._trait.matters
        return min(unusual, matters, HIGHEST)

    def _centre_and_edge(self) -> tuple[float, float]:
        if self._early is not None:
            centre, variance = _robust(self._early, self._trait.noise)
        else:
            assert self._mean and self._spread
            centre, variance = self._mean.get(), self._spread.get()
        return centre, SIGMAS * math.sqrt(variance + self._trait.noise**2)

    def _learn(self, reading: float) -> None:
        self._readings += 1
        if self._early is not None:
            self._early.append(reading)
            if len(self._early) >= SETTLED_READINGS:
                self._settle(self._early)
        else:
            assert self._mean and self._spread
            self._spread.update((reading - self._mean.get()) ** 2)
            self._mean.update(reading)

    def _settle(self, early: Sequence[float]) -> None:
        spacing = (self.seen_ms - self._first_ms) / 1000 / (self._readings - 1)
        fading = min(0.2, max(0.0005, 1 - math.exp(-spacing / MEMORY_SECONDS)))
        centre, variance = _robust(early, self._trait.noise)
        self._begin(fading, centre, variance)

    def _begin(self, fading: float, centre: float, variance: float) -> None:
        self._fading = fading
        self._mean, self._spread = EWMean(fading), EWMean(fading)
        self._mean.update(centre)  # the first update is the value to start from
        self._spread.update(variance)
        self._early = None


def _robust(readings: Sequence[float], noise: float) -> tuple[float, float]:
    """Centre and variance that a minority of wild readings does not drag along."""
    centre = median(readings)
    strays = [abs(r - centre) for r in readings]
    limit = 4 * max(1.4826 * median(strays), noise)
    return centre, fmean(min(s, limit) ** 2 for s in strays)
