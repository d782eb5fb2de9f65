"""From statistics to the scale everybody reads: 0..1 normal, above 1 anomalous, the same on every host."""

from __future__ import annotations

import math
from collections.abc import Iterable

SIGMAS = 4.5
"""Spreads from the centre at which a single metric's score is 1."""

HIGHEST = 10.0
"""Scores end here: beyond it nobody learns anything from a larger number."""

_NORM = 8.0


def combine(scores: Iterable[float]) -> float:
    """One score out of many: the largest counts, and several that are each a bit off add up to more."""
    return min(HIGHEST, math.pow(math.fsum(s**_NORM for s in scores), 1 / _NORM))


def weighed(score: float, frozen: float | None) -> float:
    """The core's score, which a frozen model may change by a quarter: it knows what was quiet once, not the hour of the
    day, nor what has changed since.
    """
    if frozen is None:
        return min(HIGHEST, score)
    return min(HIGHEST, score * (0.75 + 0.25 * min(max(frozen, 0.0), 2.0)))


def shares(scores: dict[str, float]) -> dict[str, float]:
    """How much each has to do with ``combine`` of all; they add up to 1."""
    weights = {name: score**_NORM for name, score in scores.items()}
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()} if total else dict.fromkeys(scores, 0.0)
