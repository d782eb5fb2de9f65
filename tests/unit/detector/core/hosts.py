"""Small made-up hosts for the core's stories."""

from __future__ import annotations

import math
import random

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
START_MS = 1_760_000_000_000


def quiet(ts_ms: int, metrics: int = 6, step_ms: int = 5 * MINUTE_MS) -> dict[str, float]:
    """A host with a day's rhythm and some noise; the same instant gives the same values."""
    rng = random.Random(ts_ms // step_ms)
    wave = math.sin(2 * math.pi * (ts_ms % DAY_MS) / DAY_MS)
    return {f"m{i}": 50 + 10 * i + 10 * wave + rng.gauss(0, 1) for i in range(metrics)}


def times(hours: float, step_ms: int = 5 * MINUTE_MS, start_ms: int = START_MS) -> range:
    return range(start_ms, start_ms + int(hours * HOUR_MS), step_ms)
