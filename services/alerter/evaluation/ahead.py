"""Samples from the future: of one host its clock is wrong, of all of them ours is. Pure, with the time given."""

from __future__ import annotations

import logging

from services.alerter.evaluation.host import Host

log = logging.getLogger(__name__)

RECENT_S = 60.0
"""Without a sample for so long nothing is said of clocks."""


class Ahead:
    """Seconds are the monotonic clock's."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._last = 0.0

    def from_future(self, host: Host, ahead_ms: int, now: float) -> None:
        self._since = now if self._since is None else self._since
        self._last = now
        if not host.ahead:
            host.ahead = True
            log.warning(
                "a host's clock is ahead of ours: what it says decides nothing until one of them is set",
                extra={"host_id": host.host_id, "seconds": ahead_ms // 1000},
            )

    def from_now(self, host: Host) -> None:
        self._since, host.ahead = None, False

    def all_for(self, now: float) -> float:
        """Seconds for which every sample, of whatever host, was from the future: then it is our clock that is wrong."""
        return 0.0 if self._since is None or now - self._last > RECENT_S else self._last - self._since
