"""Which numbers of a series stand out upwards: the simple methods. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, pstdev

SIGMAS = 3.0
PERCENT = 80.0


def above(data: Sequence[float], threshold: float = PERCENT) -> list[int]:
    """1 where a value is greater than ``threshold``."""
    return [int(x > threshold) for x in data]


def sigma(data: Sequence[float], sigmas: float = SIGMAS) -> list[int]:
    """1 where a value is more than ``sigmas`` standard deviations above the mean of all."""
    if not data:
        return []
    limit = fmean(data) + sigmas * pstdev(data)
    return [int(x > limit) for x in data]
