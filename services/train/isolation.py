"""An isolation forest as the arrays that ``shared.models.frozen`` reads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NEVER = 1e30
"""No reading is above it."""


def exported(forest: Any) -> dict[str, NDArray[Any]]:
    """Of a fitted ``IsolationForest`` on all features: its trees made complete, one level after the other."""
    trees = [estimator.tree_ for estimator in forest.estimators_]
    depth = max(1, *(tree.max_depth for tree in trees))
    feature, threshold = [], []
    for level in range(depth):
        for tree in trees:
            nodes, _ = _reached(tree, level)
            leaf = tree.children_left[nodes] < 0
            feature.append(np.where(leaf, 0, tree.feature[nodes]))
            # Whoever has arrived goes on to the left, where nothing changes any more.
            threshold.append(np.where(leaf, NEVER, tree.threshold[nodes]))
    ends = [(tree, *_reached(tree, depth)) for tree in trees]
    return {
        "trees": np.array([len(trees)]),
        "depth": np.array([depth]),
        "node_feature": np.concatenate(feature).astype(int),
        "node_threshold": np.concatenate(threshold).astype(float),
        "length": np.concatenate([steps + usual_length(tree.n_node_samples[nodes]) for tree, nodes, steps in ends]),
        "usual": usual_length(np.array([forest.max_samples_])),
    }


def usual_length(rows: NDArray[Any]) -> NDArray[np.float64]:
    """The mean length of a path in a random search tree of so many rows."""
    n = np.maximum(rows.astype(float), 3)
    many = 2.0 * (np.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n
    found: NDArray[np.float64] = np.where(rows <= 1, 0.0, np.where(rows == 2, 1.0, many))
    return found


def _reached(tree: Any, level: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The 2^level nodes of a level, leaves repeated down to it, and how many steps led to each."""
    nodes, steps = np.array([0]), np.array([0.0])
    for _ in range(level):
        inner = tree.children_left[nodes] >= 0
        left = np.where(inner, tree.children_left[nodes], nodes)
        right = np.where(inner, tree.children_right[nodes], nodes)
        nodes = np.stack((left, right), axis=1).reshape(-1)
        steps = np.repeat(steps + inner, 2)
    return nodes, steps
