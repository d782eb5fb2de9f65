"""Threads that run collectors, and that can be left behind in one that hangs.

A lane runs its collectors one after the other in one thread. When one does not return, the lane takes a new thread
for the others; the old one ends when its collector does. A collector is in one thread at most, so there are never
more threads than collectors.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from services.agent.collectors.base import Collector, InTwoSteps, Rest
from shared.runtime.selfmetrics import AGENT_COLLECTOR_FAILURES, AGENT_COLLECTOR_SECONDS

Now = Callable[[], float]

SLOW = 0.02  # seconds: who takes longer is not instant
SLOW_AT_MOST = 3  # times in a row; a busy machine makes everybody slow now and then


class Probe:
    """A collector, when it is due, and how it fares. ``every``: in how many slots of the sampler's grid.

    ``instant``: it (the first of its steps, if it has two) reads only what the kernel makes up while it is read, and
    so waits for nobody. It needs no thread, as long as it is as quick as that.
    """

    def __init__(
        self, collector: Collector, every: int = 1, *, background: bool = False, instant: bool = False
    ) -> None:
        self.collector = collector
        self.section = collector.section
        self.every = max(1, every)
        self.background = background
        self.instant = instant
        self.error: str | None = None
        self.asked_at: float | None = None
        """Since when a lane has it; ``None`` when none has."""
        self.entered_at: float | None = None
        """Since when it is being run."""
        self._begin: Callable[[float], Any] = (
            collector.begin if isinstance(collector, InTwoSteps) else collector.collect
        )
        self._rest: Rest | None = None
        self._slow = 0
        self._result: Any = None

    def take(self) -> Any:
        """What was collected since the last time, or ``None``."""
        result, self._result = self._result, None
        return result

    def at_once(self, now: Now) -> bool:
        """Runs it here and now; False when that is left, wholly or in part, to a lane."""
        if not self.instant or self.asked_at is not None:
            return False
        seconds = self._step(now, self._begin)
        self._slow = self._slow + 1 if seconds > SLOW else 0
        self.instant = self._slow < SLOW_AT_MOST
        return self._rest is None

    def run(self, now: Now) -> None:
        try:
            if self._rest is None:
                self._step(now, self._begin)
            if (rest := self._rest) is not None:
                self._rest = None
                self._step(now, lambda _: rest.finish())
        finally:
            self.asked_at = None

    def _step(self, now: Now, step: Callable[[float], Any]) -> float:
        """Returns the seconds it took."""
        self.entered_at = now()
        began = time.perf_counter()
        try:
            found = step(self.entered_at)
            self._rest, self._result = (found, None) if isinstance(found, Rest) else (None, found)
            self.error = None
        except Exception as error:
            self._result = None
            self.error = f"{type(error).__name__}: {error}"[:512]
            AGENT_COLLECTOR_FAILURES.add(1, self.section)
        finally:
            seconds = time.perf_counter() - began
            AGENT_COLLECTOR_SECONDS.set(seconds, self.section)
            self.entered_at = None
        return seconds


class Lane:
    def __init__(self, name: str, now: Now) -> None:
        self._name = name
        self._now = now
        self._changed = threading.Condition()
        self._waiting: deque[Probe] = deque()
        self._current: Probe | None = None
        self._thread: threading.Thread | None = None
        self._idle: Callable[[], object] | None = None
        self._stopped = False

    def submit(self, probes: Sequence[Probe], when_idle: Callable[[], object] | None = None) -> None:
        """Run these, but for those that still are; call ``when_idle`` (in the lane's thread) after the last."""
        with self._changed:
            for probe in probes:
                if probe.asked_at is None:
                    probe.asked_at = self._now()
                    self._waiting.append(probe)
            self._idle = when_idle
            if self._thread is None:
                self._take_thread()
            self._changed.notify()

    def leave_behind(self, after: float = 0.0) -> None:
        """Go on without the collector that is being run, if it has been for ``after`` seconds."""
        with self._changed:
            probe = self._current
            if probe is not None and self._now() - (probe.entered_at or self._now()) >= after:
                self._current = None
                self._take_thread()

    def stop(self) -> None:
        """Nothing further is run; a collector that hangs is not waited for."""
        with self._changed:
            self._stopped = True
            self._idle = None
            self._waiting.clear()
            self._changed.notify_all()

    def _take_thread(self) -> None:
        # A daemon: a process must be able to end although a thread of it waits for a dead file server.
        self._thread = threading.Thread(target=self._work, name=f"agent-{self._name}", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        me = threading.current_thread()
        while True:
            with self._changed:
                if self._thread is not me:
                    return
                self._current = None
                if not self._waiting and self._idle is not None:
                    self._idle()
                    self._idle = None
                while not self._waiting and not self._stopped and self._thread is me:
                    self._changed.wait()
                if self._stopped or self._thread is not me:
                    return
                probe = self._current = self._waiting.popleft()
            probe.run(self._now)
