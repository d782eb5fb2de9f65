"""What a host looks like when it is quiet, frozen: nearest neighbours, a one-class support vector machine and an
isolation forest over the same standardised metrics, evaluated with numpy alone.

Each member's raw word is put on one scale with what it said of quiet readings it had not been fitted on; the mean of
the three is the score, divided so that 1 is exceeded by one in a thousand of those readings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.models.arrays import Arrays, ModelError, take
from shared.models.card import Card

NEIGHBOUR = 3
"""The distance to this one counts: a single strange reading in the quiet stretch excuses no other."""
FARTHEST = 30.0
"""Deviations after which a metric is as strange as it can be."""
MEMBERS = ("neighbours", "svm", "forest")
MOST_FEATURES = 256
_MOST_ROWS = 5000
_DEEPEST = 12
_MOST_TREES = 500

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Scaler:
    """``logged``: 1 for metrics whose logarithm is looked at; rates differ by factors."""

    logged: NDArray[np.bool_]
    mean: Floats
    scale: Floats

    def __call__(self, values: Floats) -> Floats:
        """(k) or (n, k)."""
        logs = np.copysign(np.log1p(np.abs(values)), values)
        z: Floats = (np.where(self.logged, logs, values) - self.mean) / self.scale
        np.maximum(z, -FARTHEST, out=z)
        return np.minimum(z, FARTHEST, out=z)


@dataclass(frozen=True)
class Isolation:
    """Complete binary trees, one level after the other: node ``i`` of a level has ``2i`` and ``2i + 1`` below it, in
    every tree at once. ``feature`` and ``threshold``: an array a level. ``length``: of the path that ends there.
    """

    roots: Ints
    feature: tuple[Ints, ...]
    threshold: tuple[Floats, ...]
    length: Floats
    usual: float

    def __call__(self, z: Floats) -> float:
        """(k) -> 0..1, above about a half is unusual."""
        rounded = z.astype(np.float32)
        node = self.roots
        for feature, threshold in zip(self.feature, self.threshold, strict=True):
            node = 2 * node + (rounded.take(feature.take(node)) > threshold.take(node))
        return float(2.0 ** -(self.length.take(node).sum() / len(self.roots) / self.usual))


@dataclass(frozen=True)
class Frozen:
    """``points``: prototypes of the neighbours, then support vectors, standardised."""

    features: tuple[str, ...]
    scaler: Scaler
    points: Floats
    norms: Floats
    prototypes: int
    coefficients: Floats
    intercept: float
    gamma: float
    isolation: Isolation
    low: Floats
    span: Floats
    top: float

    def members(self, values: Floats) -> Floats:
        """Each member's raw word on one reading, (k) -> (3); the larger the stranger."""
        z = self.scaler(values)
        squares = self.norms - 2.0 * (self.points @ z)
        squares += z @ z
        np.maximum(squares, 0.0, out=squares)
        near = squares[: self.prototypes]
        kernel = np.exp(squares[self.prototypes :] * -self.gamma)
        return np.array(
            (
                math.sqrt(np.partition(near, NEIGHBOUR - 1)[NEIGHBOUR - 1]),
                -(kernel @ self.coefficients + self.intercept),
                self.isolation(z),
            )
        )

    def raw(self, values: Floats) -> float:
        """(k) -> the mean of the members, before the last division."""
        placed = (self.members(values) - self.low) / self.span
        np.maximum(placed, 0.0, out=placed)
        return float(placed.sum() / len(MEMBERS))

    def score(self, values: Floats) -> float:
        return self.raw(values) / self.top


def frozen(card: Card, arrays: Arrays) -> Frozen:
    """Raises ``ModelError`` on arrays that are no frozen model."""
    if card.kind != "frozen":
        raise ModelError(f"it is a model of {card.kind}, not a frozen one")
    count = len(card.features)
    if count > MOST_FEATURES:
        raise ModelError(f"{count} features are more than {MOST_FEATURES}")
    logged, scale = take(arrays, "logged", "i", count), take(arrays, "scale", "f", count)
    prototypes = take(arrays, "prototypes", "f", None, count)
    vectors = take(arrays, "vectors", "f", None, count)
    gamma = float(take(arrays, "gamma", "f", 1)[0])
    span, top = take(arrays, "span", "f", len(MEMBERS)), float(take(arrays, "top", "f", 1)[0])
    if (
        not np.isin(logged, (0, 1)).all()
        or (scale <= 0).any()
        or not NEIGHBOUR <= len(prototypes) <= _MOST_ROWS
        or len(vectors) > _MOST_ROWS
        or gamma <= 0
        or (span <= 0).any()
        or top <= 0
    ):
        raise ModelError("its numbers are none that training gives")
    points = np.ascontiguousarray(np.concatenate((prototypes, vectors)))
    if np.abs(points).max() > FARTHEST:
        raise ModelError("its points are farther out than any reading can be")
    return Frozen(
        features=tuple(card.features),
        scaler=Scaler(logged.astype(bool), take(arrays, "mean", "f", count), scale),
        points=points,
        norms=np.einsum("ij,ij->i", points, points),
        prototypes=len(prototypes),
        coefficients=take(arrays, "coefficients", "f", len(vectors)),
        intercept=float(take(arrays, "intercept", "f", 1)[0]),
        gamma=gamma,
        isolation=_isolation(arrays, count),
        low=take(arrays, "low", "f", len(MEMBERS)),
        span=span,
        top=top,
    )


def _isolation(arrays: Arrays, features: int) -> Isolation:
    trees, depth = (int(take(arrays, name, "i", 1)[0]) for name in ("trees", "depth"))
    if not (0 < trees <= _MOST_TREES and 0 < depth <= _DEEPEST):
        raise ModelError("its forest has no such number of trees, or of levels")
    inner = trees * (2**depth - 1)
    feature, threshold = take(arrays, "node_feature", "i", inner), take(arrays, "node_threshold", "f", inner)
    length, usual = take(arrays, "length", "f", trees * 2**depth), float(take(arrays, "usual", "f", 1)[0])
    if (feature < 0).any() or (feature >= features).any() or (length < 0).any() or usual <= 0:
        raise ModelError("its forest leads astray")
    cuts = np.cumsum([trees * 2**level for level in range(depth - 1)])
    return Isolation(np.arange(trees), tuple(np.split(feature, cuts)), tuple(np.split(threshold, cuts)), length, usual)
