"""Token buckets: so many events a second in the long run, a minute's worth at once, per key.

A batch larger than a whole bucket is let pass when the bucket is full, and leaves a debt: refused for its size alone it
would be refused for ever.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

BURST = 60.0  # seconds' worth
MOST_KEYS = 10_000


@dataclass
class _Bucket:
    level: float
    at: float


class Buckets:
    """``now`` is monotonic seconds. Bounded: the keys that are longest quiet are forgotten first."""

    def __init__(self, per_second: float) -> None:
        self._rate = per_second
        self._full = per_second * BURST
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait(self, key: str, now: float, count: int = 1) -> int:
        """Whole seconds until ``count`` may pass; 0 when they may now. Takes nothing."""
        missing = min(float(count), self._full) - self._bucket(key, now).level
        return max(1, math.ceil(missing / self._rate)) if missing > 0 else 0

    def take(self, key: str, now: float, count: int) -> int:
        """Takes ``count`` when they may pass, else nothing; returns as ``wait``."""
        seconds = self.wait(key, now, count)
        if not seconds:
            self._bucket(key, now).level -= count
        return seconds

    def charge(self, key: str, now: float, count: int) -> None:
        """Takes ``count`` whatever is there; a negative ``count`` gives back."""
        bucket = self._bucket(key, now)
        bucket.level = min(self._full, bucket.level - count)

    def _bucket(self, key: str, now: float) -> _Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(self._full, now)
            while len(self._buckets) > MOST_KEYS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        bucket.level = min(self._full, bucket.level + (now - bucket.at) * self._rate)
        bucket.at = now
        return bucket
