"""What a raw score of a host ordinarily stays below, so that 1 means the same on every host."""

from __future__ import annotations

import math

from services.detector.core.config import HOUR, CoreConfig

_UP_PER_HOUR = 1.0
_FLOOR = 0.15


class Level:
    """The logarithm of a high quantile of the raw score, followed in time up to ``most``. ``one``: the raw score that
    is called 1 on a host whose own level is 1.
    """

    def __init__(self, config: CoreConfig, one: float, most: float) -> None:
        self._quantile = config.normal_quantile
        self._one, self._most = one, math.log(most)
        self.log = 0.0

    def of(self, raw: float) -> float:
        """``raw`` with half of the host's own level taken out: a noisy host counts less, but still some."""
        return raw / (self._one * math.exp(0.5 * self.log))

    def learn(self, dt_s: float, raw: float) -> None:
        up = _UP_PER_HOUR * dt_s / HOUR
        above = math.log(raw + _TINY) > self.log
        self.log += up * self._quantile if above else -up * (1.0 - self._quantile)
        self.log = min(max(self.log, math.log(_FLOOR)), self._most)


_TINY = 1e-6
