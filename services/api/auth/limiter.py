"""At most so many attempts in any minute, per key. Bounded: the keys that are longest quiet are forgotten first."""

from __future__ import annotations

import math
from collections import OrderedDict, deque

WINDOW = 60.0  # seconds
MOST_KEYS = 10_000


class Limiter:
    def __init__(self, most: int) -> None:
        self._most = most
        self._attempts: OrderedDict[str, deque[float]] = OrderedDict()

    def attempt(self, key: str, now: float) -> int:
        """Counts one; 0 when it is let pass, else the whole seconds to wait. ``now`` is monotonic seconds."""
        attempts = self._attempts.setdefault(key, deque())
        self._attempts.move_to_end(key)
        while attempts and attempts[0] <= now - WINDOW:
            attempts.popleft()
        if len(attempts) >= self._most:
            return max(1, math.ceil(attempts[0] + WINDOW - now))
        attempts.append(now)
        while len(self._attempts) > MOST_KEYS:
            self._attempts.popitem(last=False)
        return 0
