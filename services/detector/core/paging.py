"""When a score is worth a page: it beats what was paged before, and the host's budget has room."""

from __future__ import annotations

import math

from services.detector.core.config import WEEK, CoreConfig

_STEP = 0.25
_LOWEST, _HIGHEST = 1.0, 20.0


class Paging:
    """Peak-hold (``held`` halves in a day) under a threshold that each page raises and quiet time lowers."""

    def __init__(self, config: CoreConfig) -> None:
        self._config = config
        self.held = 0.0
        self.threshold = 1.5

    def decide(self, dt_s: float, score: float) -> bool:
        c = self._config
        self.held *= 2.0 ** (-dt_s / c.peak_half_life_s)
        page = score > self.threshold and score > self.held
        change = _STEP * ((1.0 if page else 0.0) - c.page_budget_per_week * dt_s / WEEK)
        self.threshold = min(max(self.threshold * math.exp(change), _LOWEST), _HIGHEST)
        if page:
            self.held = 1.2 * score
        return page
