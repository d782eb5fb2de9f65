"""A support vector classifier as arrays: the same decisions as scikit-learn's, with numpy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.models.arrays import Arrays, ModelError, take

MOST_VECTORS = 5000
_CELLS = 1_000_000
"""Kernel values computed at a time: 8 MB."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Svm:
    """``mean``, ``scale`` (k): of the scaler. ``vectors`` (m, k), ``coefficients`` (m): scaled support vectors."""

    mean: Floats
    scale: Floats
    vectors: Floats
    coefficients: Floats
    intercept: float
    gamma: float

    def decision(self, rows: Floats) -> Floats:
        """(n, k) -> (n); above zero is overload."""
        out = np.empty(len(rows))
        step = max(1, _CELLS // len(self.vectors))
        norms = np.einsum("ij,ij->i", self.vectors, self.vectors)
        for at in range(0, len(rows), step):
            z = (rows[at : at + step] - self.mean) / self.scale
            squares = np.einsum("ij,ij->i", z, z)[:, None] + norms - 2 * (z @ self.vectors.T)
            out[at : at + step] = np.exp(-self.gamma * np.maximum(squares, 0)) @ self.coefficients + self.intercept
        return out

    def overloaded(self, rows: Floats) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = self.decision(rows) > 0
        return found


def exported(scaler: Any, classifier: Any) -> dict[str, NDArray[Any]]:
    """Of a fitted ``StandardScaler`` and a two-class ``SVC`` with the RBF kernel."""
    return {
        "mean": np.asarray(scaler.mean_, float),
        "scale": np.asarray(scaler.scale_, float),
        "vectors": np.asarray(classifier.support_vectors_, float),
        "coefficients": np.asarray(classifier.dual_coef_, float).ravel(),
        "intercept": np.asarray(classifier.intercept_, float).ravel(),
        "gamma": np.array([classifier._gamma], float),
    }


def of(arrays: Arrays, features: int) -> Svm:
    """Raises ``ModelError`` on arrays that are none."""
    vectors = take(arrays, "vectors", "f", None, features)
    scale = take(arrays, "scale", "f", features)
    gamma = float(take(arrays, "gamma", "f", 1)[0])
    if len(vectors) > MOST_VECTORS or (scale <= 0).any() or gamma <= 0:
        raise ModelError("it has too many support vectors, or a scale that is not above zero")
    return Svm(
        mean=take(arrays, "mean", "f", features),
        scale=scale,
        vectors=vectors,
        coefficients=take(arrays, "coefficients", "f", len(vectors)),
        intercept=float(take(arrays, "intercept", "f", 1)[0]),
        gamma=gamma,
    )
