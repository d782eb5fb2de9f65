"""What a host looks like when it is quiet, frozen: nearest neighbours, a one-class support vector machine and an
isolation forest over the same standardised metrics, evaluated with numpy alone.

Each member's raw word is put on one scale with what it said of quiet readings it had not been fitted on; the mean of
the three is the score, divided so that 1 is exceeded by one in a thousand of those readings.
"""

from __future__ import annotations

import itertools
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
    """``logged``: metrics whose logarithm is looked at, since rates differ by factors; they are not below 0, and
    ``least`` is 0 for them. ``mean`` and ``scale`` (k).
    """

    logged: NDArray[np.bool_]
    least: Floats
    mean: Floats
    scale: Floats

    def __call__(self, values: Floats) -> Floats:
        """(k) or (n, k)."""
        z: Floats = np.maximum(values, self.least)
        np.log1p(z, out=z, where=self.logged)
        z -= self.mean
        z /= self.scale
        np.maximum(z, -FARTHEST, out=z)
        return np.minimum(z, FARTHEST, out=z)


def scaler(logged: NDArray[np.bool_], mean: Floats, scale: Floats) -> Scaler:
    return Scaler(logged, np.where(logged, 0.0, -np.inf), mean, scale)


@dataclass(frozen=True)
class Isolation:
    """Complete binary trees, one level after the other: node ``i`` of a level has ``2i`` and ``2i + 1`` below it, in
    every tree at once. ``levels``: where each begins and ends among ``feature`` and ``threshold``. ``length``: of the
    path that ends there.
    """

    roots: Ints
    levels: tuple[slice, ...]
    feature: Ints
    threshold: Floats
    length: Floats
    usual: float

    def __call__(self, z: Floats) -> float:
        """(k) -> 0..1, above about a half is unusual."""
        # scikit-learn's trees compare what was rounded to single precision. Asking every node at once is cheaper than
        # asking only those on the way.
        goes_right = (z.astype(np.float32).astype(np.float64).take(self.feature) > self.threshold).astype(np.intp)
        node = self.roots
        for level in self.levels:
            node = node + node + goes_right[level].take(node)
        return float(2.0 ** -(float(self.length.take(node).sum()) / len(self.roots) / self.usual))


@dataclass(frozen=True)
class Frozen:
    """``points``: prototypes, then support vectors, standardised. ``low``, ``span``: of each member."""

    features: tuple[str, ...]
    scaler: Scaler
    points: Floats
    norms: Floats
    prototypes: int
    coefficients: Floats
    intercept: float
    gamma: float
    isolation: Isolation
    low: tuple[float, ...]
    span: tuple[float, ...]
    top: float

    def members(self, values: Floats) -> tuple[float, float, float]:
        """Each member's raw word on one reading, (k); the larger the stranger."""
        z = self.scaler(values)
        squares = self.points @ z
        squares *= -2.0
        squares += self.norms
        squares += z @ z
        near = squares[: self.prototypes]
        near.partition(NEIGHBOUR - 1)
        kernel = squares[self.prototypes :]
        kernel *= -self.gamma
        np.exp(kernel, out=kernel)
        nearest = float(near[NEIGHBOUR - 1])
        return (
            math.sqrt(max(nearest, 0.0)),  # NaN stays
            -(float(kernel @ self.coefficients) + self.intercept),
            self.isolation(z),
        )

    def raw(self, values: Floats) -> float:
        """(k) -> the mean of the members, before the last division. NaN where a value is."""
        total = 0.0
        for word, low, span in zip(self.members(values), self.low, self.span, strict=True):
            placed = (word - low) / span
            total += 0.0 if placed < 0 else placed
        return total / len(MEMBERS)

    def score(self, values: Floats) -> float:
        """(k) -> 0..1 is normal, above is not. NaN where a value is."""
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
        scaler=scaler(logged.astype(bool), take(arrays, "mean", "f", count), scale),
        points=points,
        norms=np.einsum("ij,ij->i", points, points),
        prototypes=len(prototypes),
        coefficients=take(arrays, "coefficients", "f", len(vectors)),
        intercept=float(take(arrays, "intercept", "f", 1)[0]),
        gamma=gamma,
        isolation=_isolation(arrays, count),
        low=tuple(take(arrays, "low", "f", len(MEMBERS)).tolist()),
        span=tuple(span.tolist()),
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
    begins = [trees * (2**level - 1) for level in range(depth + 1)]
    levels = tuple(slice(begin, end) for begin, end in itertools.pairwise(begins))
    return Isolation(np.arange(trees), levels, feature, threshold, length, usual)
