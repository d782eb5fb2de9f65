"""An average that forgets in time, not in samples."""

from __future__ import annotations

import math

import msgspec


class Smooth(msgspec.Struct, gc=False):
    value: float = 0.0
    last_ms: int = -1

    def step(self, ts_ms: int, value: float, tau_ms: float) -> float:
        """The new average; ``tau_ms`` is the time in which two thirds are forgotten."""
        if self.last_ms < 0:
            self.value = value
        else:
            self.value += (value - self.value) * -math.expm1((self.last_ms - ts_ms) / tau_ms)
        self.last_ms = ts_ms
        return self.value
