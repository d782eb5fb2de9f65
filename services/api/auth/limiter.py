"""How often each of many did something in the last minute. Bounded: who is longest quiet is forgotten first."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Hashable

WINDOW = 60.0  # seconds
MOST_KEYS = 10_000


class Limiter:
    """``now`` is monotonic seconds."""

    def __init__(self) -> None:
        self._times: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def wait(self, key: Hashable, most: int, now: float) -> int:
        """0 while there is room for one more of at most ``most`` in any minute, else the whole seconds to wait."""
        times = self._times.get(key)
        while times and times[0] <= now - WINDOW:
            times.popleft()
        if not times or len(times) < most:
            return 0
        return max(1, math.ceil(times[-most] + WINDOW - now))

    def count(self, key: Hashable, now: float) -> None:
        self._times.setdefault(key, deque()).append(now)
        self._times.move_to_end(key)
        while len(self._times) > MOST_KEYS:
            self._times.popitem(last=False)

    def take_back(self, key: Hashable) -> None:
        """The last one of ``key`` does not count."""
        if times := self._times.get(key):
            times.pop()
