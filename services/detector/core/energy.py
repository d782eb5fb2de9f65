"""How unusual a combination of deviations is: T2 and SPE under an exponentially weighted covariance."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from services.detector.core.config import CoreConfig

Floats = NDArray[np.float64]


class Energy:
    """The deviations are judged beside their own mean of late, ``lately`` (k): what jumps out of it is as unusual as
    what leaves the other metrics. ``covariance`` and ``whiten`` are (2k, 2k), a metric and its mean side by side; k is
    at most ``covariance_metrics``; eigenvectors are renewed rarely.
    """

    def __init__(self, config: CoreConfig) -> None:
        self._config = config
        self.arrays: dict[str, Floats] = {
            "covariance": np.zeros((0, 0)),
            "whiten": np.zeros((0, 0)),
            "lately": np.zeros(0),
        }
        self.since_s = 0.0
        self.learned_s = 0.0

    def widen(self, count: int) -> None:
        """Room for ``count`` more metrics, as far as the limit allows: a new one varies alone, by one."""
        old = self.arrays["lately"].shape[0]
        new = min(old + count, self._config.covariance_metrics)
        for name in ("covariance", "whiten"):
            wider = np.eye(2 * new)
            wider[: 2 * old, : 2 * old] = self.arrays[name]
            self.arrays[name] = wider
        self.arrays["lately"] = np.concatenate([self.arrays["lately"], np.zeros(new - old)])

    def forget(self, slot: int) -> None:
        if slot < self.arrays["lately"].shape[0]:
            both = slice(2 * slot, 2 * slot + 2)
            for name in ("covariance", "whiten"):
                a = self.arrays[name]
                a[both, :] = a[:, both] = 0.0
                a[both, both] = np.eye(2)
            self.arrays["lately"][slot] = 0.0

    def of(self, deviations: Floats) -> float:
        """The mean square of the whitened deviations (n,), missing ones as 0; about 1 or less on an ordinary event."""
        w: Floats = self.arrays["whiten"] @ self._beside(deviations)
        return float(np.dot(w, w) / max(w.shape[0], 1))

    def learn(self, dt_s: float, deviations: Floats) -> None:
        covariance, lately = self.arrays["covariance"], self.arrays["lately"]
        d = self._beside(deviations)
        self.learned_s += dt_s
        pace = max(
            1.0 - 2.0 ** (-dt_s / self._config.covariance_half_life_s), min(dt_s / (self.learned_s + 3600.0), 0.05)
        )
        covariance *= 1.0 - pace
        covariance += pace * np.outer(d, d)
        lately += (1.0 - math.exp(-dt_s / self._config.lately_s)) * (deviations[: lately.shape[0]] - lately)
        self.since_s += dt_s
        if self.since_s >= self._config.eigen_every_s or self.learned_s <= 2 * dt_s:
            self.since_s = 0.0
            self._decompose(covariance)

    def _beside(self, deviations: Floats) -> Floats:
        lately = self.arrays["lately"]
        both = np.empty((lately.shape[0], 2))
        both[:, 0], both[:, 1] = deviations[: lately.shape[0]], lately
        return both.ravel()

    def _decompose(self, covariance: Floats) -> None:
        values, vectors = np.linalg.eigh(covariance)
        self.arrays["whiten"] = np.ascontiguousarray((vectors / np.sqrt(np.maximum(values, 0.0) + 0.1)).T)
