"""A random forest as arrays: the same decisions as scikit-learn's, with numpy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.models.arrays import Arrays, ModelError, take

MOST_NODES = 1_000_000
DEEPEST = 64

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Forest:
    """``roots`` (t): where each tree begins among the nodes. Of each node: ``left`` and ``right`` (indices; both the
    node's own where it is a leaf), ``feature``, ``threshold``, and ``share`` of overload among what ended there.
    """

    roots: Ints
    left: Ints
    right: Ints
    feature: Ints
    threshold: Floats
    share: Floats

    def probability(self, rows: Floats) -> Floats:
        """(n, k) -> (n), the mean over the trees."""
        # scikit-learn's trees compare what was rounded to single precision.
        rounded = rows.astype(np.float32)
        every = np.arange(len(rows))
        total = np.zeros(len(rows))
        for root in self.roots:
            node = np.full(len(rows), root)
            while True:
                goes_left = rounded[every, self.feature[node]] <= self.threshold[node]
                following = np.where(goes_left, self.left[node], self.right[node])
                if (following == node).all():
                    break
                node = following
            total += self.share[node]
        return total / len(self.roots)

    def overloaded(self, rows: Floats) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = self.probability(rows) > 0.5
        return found


def exported(classifier: Any) -> dict[str, NDArray[Any]]:
    """Of a fitted two-class ``RandomForestClassifier``."""
    parts: dict[str, list[NDArray[Any]]] = {n: [] for n in ("left", "right", "feature", "threshold", "share")}
    roots, at = [], 0
    for estimator in classifier.estimators_:
        tree = estimator.tree_
        own = np.arange(tree.node_count)
        leaf = tree.children_left < 0
        parts["left"].append(np.where(leaf, own, tree.children_left) + at)
        parts["right"].append(np.where(leaf, own, tree.children_right) + at)
        parts["feature"].append(np.where(leaf, 0, tree.feature))
        parts["threshold"].append(np.where(leaf, 0.0, tree.threshold))
        weights = tree.value[:, 0, :]
        parts["share"].append(weights[:, 1] / weights.sum(axis=1))
        roots.append(at)
        at += tree.node_count
    arrays = {name: np.concatenate(of_trees) for name, of_trees in parts.items()}
    return {"roots": np.array(roots)} | {n: a.astype(float if a.dtype.kind == "f" else int) for n, a in arrays.items()}


def of(arrays: Arrays, features: int) -> Forest:
    """Raises ``ModelError`` on arrays that are none; a walk down any of its trees ends."""
    left = take(arrays, "left", "i", None)
    count = len(left)
    right, feature = take(arrays, "right", "i", count), take(arrays, "feature", "i", count)
    threshold, share = take(arrays, "threshold", "f", count), take(arrays, "share", "f", count)
    roots = take(arrays, "roots", "i", None)
    own = np.arange(count)
    leaf = (left == own) & (right == own)
    inner = ~leaf
    if (
        count > MOST_NODES
        or roots[0] != 0
        or (np.diff(roots) <= 0).any()
        or roots[-1] >= count
        or (feature < 0).any()
        or (feature >= features).any()
        or (share < 0).any()
        or (share > 1).any()
        # Children come after their parent and within its tree, so that no walk goes in a circle or astray.
        or (left[inner] <= own[inner]).any()
        or (right[inner] <= own[inner]).any()
        or (np.maximum(left, right) >= _ends(roots, count)).any()
    ):
        raise ModelError("its trees lead astray")
    if _depth(left, right, leaf) > DEEPEST:
        raise ModelError(f"its trees are deeper than {DEEPEST}")
    return Forest(roots, left, right, feature, threshold, share)


def _ends(roots: Ints, count: int) -> Ints:
    """Of each node: where its tree ends."""
    ends = np.append(roots[1:], count)
    return np.repeat(ends, np.diff(np.append(roots, count)))


def _depth(left: Ints, right: Ints, leaf: NDArray[np.bool_]) -> int:
    reached = np.flatnonzero(~leaf)
    depth = 0
    while len(reached) and depth <= DEEPEST:
        depth += 1
        children = np.unique(np.concatenate((left[reached], right[reached])))
        reached = children[~leaf[children]]
    return depth
