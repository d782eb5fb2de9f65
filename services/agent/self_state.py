"""What the agent says of itself. Beside other services in one process, cost and memory are the whole process's."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Protocol

from services.agent.procfile import KeptFile
from shared.runtime.clock import Clock
from shared.runtime.version import VERSION


class Waiting(Protocol):
    """What the way out knows."""

    spooled_events: int
    spooled_bytes: int

    @property
    def dropped(self) -> int: ...

    @property
    def dropped_by_reason(self) -> dict[str, int]: ...


class SelfState:
    def __init__(self, clock: Clock, interval: float, outbox: Waiting) -> None:
        self._clock = clock
        self._interval_ms = max(1, round(interval * 1000))
        self._outbox = outbox
        self._started_at = clock.now_ms()
        self._statm = KeptFile("/proc/self/statm")
        self._before = (clock.monotonic(), time.process_time())

    def __call__(self, tick_seconds: float, failed_sections: dict[str, str]) -> dict[str, Any]:
        state: dict[str, Any] = {
            "version": VERSION,
            "interval_ms": self._interval_ms,
            "started_at": self._started_at,
            "cpu_percent": self._cpu_percent(),
            "rss_bytes": self._rss(),
            "tick_ms": round(tick_seconds * 1000, 1),
            "spooled_events": self._outbox.spooled_events,
            "spooled_bytes": self._outbox.spooled_bytes,
            "dropped_events": self._outbox.dropped,
        }
        if dropped := self._outbox.dropped_by_reason:
            state["dropped"] = dropped
        if failed_sections:
            state["failed_sections"] = failed_sections
        return state

    def _cpu_percent(self) -> float:
        now = (self._clock.monotonic(), time.process_time())
        seconds, used = now[0] - self._before[0], now[1] - self._before[1]
        self._before = now
        return round(100 * used / seconds, 1) if seconds > 0 else 0.0

    def _rss(self) -> int:
        if sys.platform != "linux":
            import psutil

            return int(psutil.Process().memory_info().rss)
        return int(self._statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
