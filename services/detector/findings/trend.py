"""Whether a handful of values rise, how fast, and how sure that is: Theil-Sen's slope with Kendall's interval.

Both look at all pairs of points, so neither a step nor a few wild points decide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_Z = 1.645  # nine times in ten the slope is within the interval


@dataclass(frozen=True)
class Trend:
    """Slopes per unit of time. ``rising``: -1..1, of all pairs those that rise less those that fall. ``step``: the
    largest single increment's share of the whole growth. ``tail``: how fast the last third rises, of the fastest
    third; what flattens has little.
    """

    slope: float
    low: float
    high: float
    growth: float
    rising: float
    step: float
    tail: float


def trend(times: Sequence[float], values: Sequence[float]) -> Trend | None:
    """Of at least four points, times growing; ``None`` for fewer, or where the last is not above the first."""
    count = len(values)
    growth = values[-1] - values[0] if values else 0.0
    if count < 4 or growth <= 0:
        return None
    slopes = sorted((values[j] - values[i]) / (times[j] - times[i]) for i in range(count) for j in range(i + 1, count))
    pairs = len(slopes)
    half = _Z * math.sqrt(count * (count - 1) * (2 * count + 5) / 18) / 2
    up = sum(s > 0 for s in slopes)
    down = sum(s < 0 for s in slopes)
    third = max(1, (count - 1) // 3)
    rates = [
        (values[n] - values[n - third]) / (times[n] - times[n - third]) for n in range(count - 1, third - 1, -third)
    ]
    return Trend(
        slope=(slopes[(pairs - 1) // 2] + slopes[pairs // 2]) / 2,
        low=slopes[max(0, math.floor(pairs / 2 - half))],
        high=slopes[min(pairs - 1, math.ceil(pairs / 2 + half))],
        growth=growth,
        rising=(up - down) / pairs,
        step=max(b - a for a, b in pairwise(values)) / growth,
        tail=rates[0] / max(rates) if max(rates) > 0 else 0.0,
    )
