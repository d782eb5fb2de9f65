"""All that is known of one host: a band for each of its metrics, the core over all of them, and its page budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.detector.core import HostCore
from services.detector.core import Verdict as Whole
from services.detector.core.config import CoreConfig
from services.detector.core.paging import Paging
from services.detector.features import split
from services.detector.models.band import Band
from services.detector.traits import trait

MAX_METRICS = 160
FORGET_AFTER_MS = 600_000
"""A metric unseen for so long makes room for a new one."""
HOLD_MS = 60_000
LONGEST_STEP_MS = 600_000
"""No reading stands for more time than this."""
LARGEST = 1e15
"""No metric of ours is larger, and its square is still a number."""
SEASONED_MS = 2 * 86_400_000
"""After so long the core knows the host's day, and a metric that is where it always is at this hour is left alone."""
ORDINARY = 0.9
"""The most that such a metric scores."""
FAR = 100.0
"""The core believes in no deviation below a hundredth of a value: values are told in units of their metric's noise,
from a zero that lies so many units below.
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """``bands``: the scores of single metrics that count now; ``whole``: what the core says of all together."""

    bands: Mapping[str, float]
    whole: Whole


class HostModel:
    def __init__(self, now_ms: int, pages_per_week: float) -> None:
        self.first_ms = now_ms
        self.last_ms = now_ms
        self._step_ms = 0
        self.bands: dict[str, Band] = {}
        self.core = HostCore()
        self.paging = Paging(CoreConfig(page_budget_per_week=pages_per_week))

    def observe(self, now_ms: int, features: Mapping[str, float]) -> Reading:
        """Score, then learn."""
        self._step_ms = min(max(now_ms - self.last_ms, 0), LONGEST_STEP_MS)
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
        held = {
            name: band
            for name, band in self.bands.items()
            if band.seen_ms == now_ms or now_ms - band.seen_ms <= min(HOLD_MS, 2.5 * band.interval_ms)
        }
        whole = self.core.observe(now_ms, {name: FAR + band.reading / band.noise for name, band in held.items()})
        scores = {name: band.score for name, band in held.items() if band.score > 0.05}
        if now_ms - self.first_ms >= SEASONED_MS and not whole.shifted:
            unusual = {c.metric for c in whole.contributions}
            scores = {name: s if name in unusual else min(s, ORDINARY) for name, s in scores.items()}
        return Reading(scores, whole)

    def in_its_unit(self, name: str, told: float) -> float:
        """What was told to the core, as the metric's own value."""
        band = self.bands[name]
        return band.unit((told - FAR) * band.noise)

    def value(self, name: str) -> float | None:
        """As last heard; ``None`` of a metric nobody knows."""
        band = self.bands.get(name)
        return band.value if band else None

    def page(self, news: float) -> bool:
        """Whether the budget has room for these news of the last reading."""
        return self.paging.decide(self._step_ms / 1000, news)

    def set_back(self, now_ms: int) -> None:
        """The host's clock was set back: what was learned stays, time goes on from ``now_ms``."""
        shift = self.last_ms - now_ms
        self.first_ms -= shift
        self.last_ms = now_ms
        self.core.set_back(shift)
        for band in self.bands.values():
            band.shift(-shift)

    def state(self) -> dict[str, Any]:
        """All there is to go on from: plain values and bytes."""
        return {
            "first_ms": self.first_ms,
            "last_ms": self.last_ms,
            "bands": {name: band.state() for name, band in self.bands.items()},
            "core": self.core.state(),
            "paging": [self.paging.held, self.paging.threshold],
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any], pages_per_week: float) -> HostModel:
        """Raises ``ValueError`` (or ``KeyError``, ``TypeError``) on what is no such state."""
        model = cls(int(state["first_ms"]), pages_per_week)
        model.last_ms = int(state["last_ms"])
        model.bands = {str(n): Band.restored(trait(split(n)[0]), s) for n, s in state["bands"].items()}
        model.core.restore(state["core"])
        held, threshold = state["paging"]
        model.paging.held, model.paging.threshold = float(held), float(threshold)
        return model

    def _room(self, now_ms: int) -> bool:
        if len(self.bands) < MAX_METRICS:
            return True
        oldest = min(self.bands, key=lambda name: self.bands[name].seen_ms)
        if now_ms - self.bands[oldest].seen_ms < FORGET_AFTER_MS:
            return False
        del self.bands[oldest]
        return True
