"""What the raw score of a host ordinarily stays below, so that 1 means the same on every host."""

from __future__ import annotations

import math

from services.detector.core.config import HOUR, CoreConfig

_UP_PER_HOUR = 1.0
_FLOOR = 0.15
_ONE = 3.5
"""What is called 1: on the labelled public series it is passed wrongly about once a host and day."""


class Level:
    """The logarithm of a high quantile of the raw score, followed in time."""

    def __init__(self, config: CoreConfig) -> None:
        self._quantile = config.normal_quantile
        self.log = 0.0

    def of(self, raw: float) -> float:
        """``raw`` with half of the host's own level taken out: a noisy host counts less, but still some."""
        return raw / (_ONE * math.exp(0.5 * self.log))

    def learn(self, dt_s: float, raw: float) -> None:
        up = _UP_PER_HOUR * dt_s / HOUR
        above = math.log(raw + _TINY) > self.log
        self.log += up * self._quantile if above else -up * (1.0 - self._quantile)
        self.log = min(max(self.log, math.log(_FLOOR)), 1.5)


_TINY = 1e-6
