"""What a metric does at the same time every day, however far from its profile: a backup at night, a job at noon."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.detector.core.config import DAY, MINUTE, CoreConfig

Floats = NDArray[np.float64]
Index = NDArray[np.intp]

_SPAN = 15 * MINUTE
SPANS = int(DAY / _SPAN)
_STEP = 2.0
"""One day alone may excuse so little, so that what went wrong yesterday is still told today."""


class Habit:
    """``habit`` (96, n): how far beyond the dead zone each metric ordinarily goes in each quarter of an hour, below
    zero for downwards; ``highest`` and ``lowest`` (n): its deviations in the present one.
    """

    def __init__(self, config: CoreConfig) -> None:
        self._config = config
        self.arrays: dict[str, Floats] = {
            "habit": np.zeros((SPANS, 0)),
            "highest": np.zeros(0),
            "lowest": np.zeros(0),
        }
        self.span = -1

    def widen(self, count: int) -> None:
        """Room for ``count`` more metrics."""
        for name, a in self.arrays.items():
            self.arrays[name] = np.concatenate([a, np.zeros((*a.shape[:-1], count))], axis=-1)

    def forget(self, slot: int) -> None:
        for a in self.arrays.values():
            a[..., slot] = 0.0

    def of(self, at_s: float, index: Index, deviations: Floats) -> Floats:
        """How much more than the dead zone is usual at this time, in each deviation's direction; not below 0."""
        row = self.arrays["habit"][_span(at_s) % SPANS][index]
        habit: Floats = np.maximum(np.where(deviations < 0.0, -row, row), 0.0)
        return habit

    def learn(self, at_s: float, index: Index, deviations: Floats) -> None:
        span = _span(at_s)
        highest, lowest = self.arrays["highest"], self.arrays["lowest"]
        if span != self.span:
            self._close(highest, lowest)
            self.span = span
        highest[index] = np.maximum(highest[index], deviations)
        lowest[index] = np.minimum(lowest[index], deviations)

    def _close(self, highest: Floats, lowest: Floats) -> None:
        """Half of the way to what this quarter of an hour showed."""
        up = np.maximum(highest - self._config.dead_zone, 0.0)
        down = np.maximum(-lowest - self._config.dead_zone, 0.0)
        shown = np.where(up >= down, up, -down)
        row = self.arrays["habit"][self.span % SPANS]
        most = _STEP + np.abs(row)
        row += 0.5 * np.clip(np.where(shown * row >= 0.0, shown, 0.0) - row, -most, most)
        highest[:] = lowest[:] = 0.0


def _span(at_s: float) -> int:
    return int(at_s // _SPAN)
