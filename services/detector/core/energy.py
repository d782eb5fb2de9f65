"""How unusual a combination of deviations is: T2 and SPE under an exponentially weighted covariance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.detector.core.config import CoreConfig

Floats = NDArray[np.float64]


class Energy:
    """``covariance`` and ``whiten`` are (k, k), k at most ``covariance_metrics``; eigenvectors are renewed rarely."""

    def __init__(self, config: CoreConfig) -> None:
        self._config = config
        self.arrays: dict[str, Floats] = {"covariance": np.zeros((0, 0)), "whiten": np.zeros((0, 0))}
        self.since_s = 0.0
        self.learned_s = 0.0

    def widen(self, count: int) -> None:
        """Room for ``count`` more metrics, as far as the limit allows: a new one varies alone, by one."""
        old = self.arrays["covariance"].shape[0]
        new = min(old + count, self._config.covariance_metrics)
        for name, a in self.arrays.items():
            wider = np.eye(new)
            wider[:old, :old] = a
            self.arrays[name] = wider

    def forget(self, slot: int) -> None:
        if slot < self.arrays["covariance"].shape[0]:
            for a in self.arrays.values():
                a[slot, :] = a[:, slot] = 0.0
                a[slot, slot] = 1.0

    def of(self, deviations: Floats) -> float:
        """The mean square of the whitened deviations (n,), missing ones as 0; about 1 on an ordinary event."""
        whiten = self.arrays["whiten"]
        k = whiten.shape[0]
        w: Floats = whiten @ deviations[:k]
        return float(np.dot(w, w) / max(k, 1))

    def learn(self, dt_s: float, deviations: Floats) -> None:
        covariance = self.arrays["covariance"]
        d = deviations[: covariance.shape[0]]
        self.learned_s += dt_s
        pace = max(
            1.0 - 2.0 ** (-dt_s / self._config.covariance_half_life_s), min(dt_s / (self.learned_s + 3600.0), 0.05)
        )
        covariance *= 1.0 - pace
        covariance += pace * np.outer(d, d)
        self.since_s += dt_s
        if self.since_s >= self._config.eigen_every_s or self.learned_s <= 2 * dt_s:
            self.since_s = 0.0
            self._decompose(covariance)

    def _decompose(self, covariance: Floats) -> None:
        values, vectors = np.linalg.eigh(covariance)
        self.arrays["whiten"] = np.ascontiguousarray((vectors / np.sqrt(np.maximum(values, 0.0) + 0.1)).T)
