"""River's half-space trees over a few signed sums of the deviations, so that their cost is the same at 2000 metrics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.detector.core.config import CoreConfig
from services.detector.lean_river import HalfSpaceTrees

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

GROUPS = 8
_TREES, _HEIGHT, _WINDOW = 8, 6, 240
NODES = 2 ** (_HEIGHT + 1) - 1


class Trees:
    """Learns at most once in ``trees_every_s``, so that its window is a time. Its shape follows from its seed alone:
    the masses are all there is to save.
    """

    def __init__(self, config: CoreConfig) -> None:
        self._config = config
        self._model = HalfSpaceTrees(n_trees=_TREES, height=_HEIGHT, window_size=_WINDOW, seed=7)
        self._model.learn_one(dict.fromkeys(range(GROUPS), 0.5))
        self.waited_s = 0.0

    def of(self, deviations: Floats) -> tuple[float, dict[int, float]]:
        """How rare a place the deviations (n,) lie in, 0..1 (0 until the first window is full), and that place."""
        n = deviations.shape[0]
        rows = -(-n // GROUPS)
        padded = np.zeros(rows * GROUPS)
        padded[:n] = deviations
        sums = padded.reshape(rows, GROUPS).sum(axis=0) / np.sqrt(rows)
        place = dict(enumerate((0.5 + 0.5 * np.tanh(sums / 4.0)).tolist()))
        return float(self._model.score_one(place)), place

    def learn(self, dt_s: float, place: dict[int, float]) -> None:
        self.waited_s += dt_s
        if self.waited_s >= self._config.trees_every_s:
            self.waited_s = 0.0
            self._model.learn_one(place)

    def masses(self) -> tuple[Counts, int, bool]:
        """(trees, nodes, 2): the left and right mass of each node; the window's count; whether it is the first."""
        rows = [[(n.l_mass, n.r_mass) for n in nodes] for nodes in self._model._tree_nodes]
        return np.array(rows, dtype=np.int64), int(self._model.counter), bool(self._model._first_window)

    def put_masses(self, masses: Counts, counter: int, first: bool) -> None:
        """Raises ValueError on another shape or a count that cannot be."""
        if masses.shape != (_TREES, NODES, 2) or masses.min() < 0 or masses.max() > _WINDOW:
            raise ValueError("the masses of the half-space trees are not those of this version")
        if not 0 <= counter < _WINDOW:
            raise ValueError("the half-space trees' window has no such count")
        for nodes, row in zip(self._model._tree_nodes, masses.tolist(), strict=True):
            for node, (left, right) in zip(nodes, row, strict=True):
                node.l_mass, node.r_mass = left, right
        self._model.counter, self._model._first_window = counter, first
