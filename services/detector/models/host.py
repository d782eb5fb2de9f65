"""All that is known of one host: a band for each of its metrics."""

from __future__ import annotations

from collections.abc import Mapping

from services.detector.features import split
from services.detector.models.band import Band
from services.detector.traits import trait

MAX_METRICS = 160
FORGET_AFTER_MS = 600_000
"""A metric unseen for so long makes room for a new one."""
HOLD_MS = 60_000
LARGEST = 1e15
"""No metric of ours is larger, and its square is still a number."""


class HostModel:
    def __init__(self, now_ms: int) -> None:
        self.first_ms = now_ms
        self.last_ms = now_ms
        self.bands: dict[str, Band] = {}

    def observe(self, now_ms: int, features: Mapping[str, float]) -> dict[str, float]:
        """The scores of all metrics whose last reading still counts, by feature; then learns ``features``."""
        self.last_ms = now_ms
        for name, value in features.items():
            if not abs(value) <= LARGEST:  # nor a NaN
                continue
            band = self.bands.get(name)
            if band is None:
                if not self._room(now_ms):
                    continue
                band = self.bands[name] = Band(trait(split(name)[0]), now_ms)
            band.observe(value, now_ms)
        # A section that is read every 15 s says what it said until its next reading is due.
        return {
            name: band.score
            for name, band in self.bands.items()
            if band.score > 0.05 and now_ms - band.seen_ms <= min(HOLD_MS, 2.5 * band.interval_ms)
        }

    def set_back(self, now_ms: int) -> None:
        """The host's clock was set back: what was learned stays, time goes on from ``now_ms``."""
        shift = self.last_ms - now_ms
        self.first_ms -= shift
        self.last_ms = now_ms
        for band in self.bands.values():
            band.shift(-shift)

    def _room(self, now_ms: int) -> bool:
        if len(self.bands) < MAX_METRICS:
            return True
        oldest = min(self.bands, key=lambda name: self.bands[name].seen_ms)
        if now_ms - self.bands[oldest].seen_ms < FORGET_AFTER_MS:
            return False
        del self.bands[oldest]
        return True
