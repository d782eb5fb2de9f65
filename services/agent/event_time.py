"""The instants of events: the wall clock's, made strictly increasing."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)

CREEP_MOST_MS = 600_000


class EventTime:
    """Never hands out an instant twice, and none before an earlier one, but for the exception below.

    A clock set back a little: instants go on a millisecond apart until it has caught up, so that order holds.
    A clock set back by more than ten minutes was wrong before, not now (a machine that starts with a clock in local
    time, say). Going on ahead of it would make ingest refuse every event as one from the future, and the host silent;
    so the clock is followed, and said so.
    """

    def __init__(self, last: int = -1) -> None:
        """``last``: of an earlier run."""
        self.last = last

    def stamp(self, now_ms: int) -> int:
        now_ms = max(0, now_ms)
        if now_ms <= self.last:
            behind = self.last - now_ms
            if behind > CREEP_MOST_MS:
                log.warning("the clock was set back, event times follow it", extra={"seconds": round(behind / 1000)})
            else:
                now_ms = self.last + 1
        self.last = now_ms
        return now_ms
