"""How far a metric moves before it has moved at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shared.schemas.metrics import BY_NAME

Floats = NDArray[np.float64]


def is_rate(feature: str) -> bool:
    """Whether it differs by factors: its logarithm is looked at."""
    return feature.partition("{")[0].endswith(("_per_s", "_ms"))


def seen(features: Sequence[str], rows: Floats) -> Floats:
    """(n, k), with the logarithm of rates."""
    rates = np.array([is_rate(name) for name in features], dtype=bool)
    found: Floats = np.where(rates, np.log1p(np.maximum(rows, 0)), rows)
    return found


def least_scale(feature: str, mean: float) -> float:
    """A metric that never moved is not strange at its first small step. ``mean``: of what ``seen`` gives."""
    metric = BY_NAME.get(feature.partition("{")[0])
    if is_rate(feature):
        return 0.5  # of a natural logarithm
    if metric is not None and metric.unit in ("percent", "degrees Celsius"):
        return 1.0
    return max(0.05 * abs(mean), 0.2)


def least_scales(features: Sequence[str], means: Floats) -> Floats:
    return np.array([least_scale(name, mean) for name, mean in zip(features, means, strict=True)])
