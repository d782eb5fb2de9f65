"""When to sample: slots on a grid of the monotonic clock. A slot that was missed is left out, never made up for."""

from __future__ import annotations

import math


class Grid:
    def __init__(self, origin: float, interval: float) -> None:
        self._origin = origin
        self._interval = interval

    def after(self, now: float, last: int = -1) -> tuple[int, float]:
        """The first slot after ``last`` that has not begun yet, and when it begins; slot 0 begins at the origin."""
        begun = math.floor((now - self._origin) / self._interval + 1e-9)
        slot = max(last, begun) + 1
        return slot, self._origin + slot * self._interval


def due(slot: int, last: int, every: int) -> bool:
    """Whether what comes in every ``every``-th slot is due in ``slot``, after ``last``, the latest one used."""
    return slot // every > last // every


def slots(seconds: float, interval: float) -> int:
    """An interval of a section in slots of the grid."""
    return max(1, round(seconds / interval))
