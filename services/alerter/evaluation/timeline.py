"""Which of a host's events are about now: pure, so that backfill, repeats and wrong clocks can be told apart in tests.

An event decides something only when it is newer than everything seen of its host and arrives about as late as this
host's events usually do. A spool that empties after an outage is neither, a host whose clock is wrong is both.
"""

from __future__ import annotations

from enum import Enum

LATE_AFTER_MS = 300_000
"""Later than the host's events usually are by this much: history, not news."""

FUTURE_MS = 600_000
"""Further ahead of our clock than this: nonsense."""

_STEADY_MS = 5_000
_STEADY_FOR_S = 60.0


class Timing(Enum):
    LIVE = "live"
    REPEAT = "repeat or out of order"
    LATE = "late"
    FUTURE = "from the future"


class Timeline:
    """Of one host."""

    __slots__ = ("_high", "_low", "_since", "_usual", "newest", "since")

    def __init__(self, newest: int = 0) -> None:
        self.newest = newest
        """Time of the newest event that decided something, epoch milliseconds."""
        self.since = 0
        """Time of the first event that decided something here, and not only where the host was before; 0: none did."""
        self._usual = 0
        self._low = self._high = 0
        self._since: float | None = None

    def judge(self, ts: int, now_ms: int, monotonic: float) -> Timing:
        lag = now_ms - ts
        if lag < -FUTURE_MS:
            return Timing.FUTURE
        if self.newest > now_ms + FUTURE_MS:
            self.newest = 0  # one of the two clocks was far ahead and has been put right
        if ts <= self.newest:
            return Timing.REPEAT
        if lag - self._usual > LATE_AFTER_MS and not self._is_usual_by_now(lag, monotonic):
            return Timing.LATE
        if lag - self._usual <= LATE_AFTER_MS:
            self._since = None
            self._usual = min(self._usual, max(lag, 0))
        self.newest = ts
        return Timing.LIVE

    def _is_usual_by_now(self, lag: int, monotonic: float) -> bool:
        """A spool is sent faster than it was filled, so its events come ever less late; a wrong clock is steady."""
        if self._since is None or max(self._high, lag) - min(self._low, lag) > _STEADY_MS:
            self._low = self._high = lag
            self._since = monotonic
            return False
        self._low, self._high = min(self._low, lag), max(self._high, lag)
        if monotonic - self._since < _STEADY_FOR_S:
            return False
        self._usual = self._low
        self._since = None
        return True
