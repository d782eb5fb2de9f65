"""When news of a host is worth a page: it beats what was paged before, and the host's budget has room."""

from __future__ import annotations

import math

from services.detector.core.config import WEEK, CoreConfig

_STEP = 0.15
_LOWEST, _HIGHEST = 1.0, 20.0
_ABOVE = 1.2
"""So many times what was paged, something must be to be told again at once."""


class Paging:
    """Peak-hold (``held`` halves in some hours) under a threshold that each page raises and quiet time lowers."""

    def __init__(self, config: CoreConfig) -> None:
        self._config = config
        self.held = 0.0
        self.threshold = _LOWEST

    def decide(self, dt_s: float, news: float) -> bool:
        """``news``: on the scale of a score. ``dt_s``: since the last decision."""
        c = self._config
        self.held *= 2.0 ** (-dt_s / c.peak_half_life_s)
        self.threshold = max(self.threshold * math.exp(-_STEP * c.page_budget_per_week * dt_s / WEEK), _LOWEST)
        page = news > self.threshold and news > self.held
        if page:
            self.threshold = min(self.threshold * math.exp(_STEP), _HIGHEST)
            self.held = _ABOVE * news
        return page
