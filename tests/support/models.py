"""Models for tests, small enough to be fitted in milliseconds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.models.card import Card, Kind

Arrays = dict[str, NDArray[Any]]


def card(kind: Kind = "overload", name: str = "svm", features: tuple[str, ...] = ("cpu.percent",), **more: Any) -> Card:
    given: dict[str, Any] = {
        "model": "frozen" if kind == "frozen" else name,
        "made_at": "2027-01-15T08:00:00Z",
        "lapwing": "0",
        "libraries": {},
        "rows": 1,
    }
    return Card(kind=kind, name=name, features=list(features), **(given | more))


def svm_arrays(limit: float = 50.0) -> Arrays:
    """Overload above ``limit``, of one number between 0 and 100: a bump left and a bump right of it."""
    return {
        "mean": np.array([limit]),
        "scale": np.array([1.0]),
        "vectors": np.array([[-10.0], [10.0]]),
        "coefficients": np.array([-1.0, 1.0]),
        "intercept": np.array([0.0]),
        "gamma": np.array([0.001]),
        "low": np.array([0.0]),
        "high": np.array([100.0]),
    }


def forest_arrays(limit: float = 50.0) -> Arrays:
    """One tree with one question."""
    return {
        "roots": np.array([0]),
        "left": np.array([1, 1, 2]),
        "right": np.array([2, 1, 2]),
        "feature": np.array([0, 0, 0]),
        "threshold": np.array([limit, 0.0, 0.0]),
        "share": np.array([0.5, 0.0, 1.0]),
        "low": np.array([0.0]),
        "high": np.array([100.0]),
    }


def frozen_arrays(features: int = 2) -> Arrays:
    """Quiet is where every metric is near 0; 1 is at a distance of 2."""
    return {
        "logged": np.zeros(features, dtype=int),
        "mean": np.zeros(features),
        "scale": np.ones(features),
        "prototypes": np.zeros((3, features)),
        "vectors": np.zeros((1, features)),
        "coefficients": np.array([1.0]),
        "intercept": np.array([-0.5]),
        "gamma": np.array([0.1]),
        "trees": np.array([1]),
        "depth": np.array([1]),
        "node_feature": np.array([0]),
        "node_threshold": np.array([5.0]),
        "length": np.array([3.0, 1.0]),
        "usual": np.array([3.0]),
        # So that the neighbours alone count.
        "low": np.array([0.0, 100.0, 100.0]),
        "span": np.array([1.0, 1.0, 1.0]),
        "top": np.array([2.0 / 3.0]),
    }
