"""Things that live: started in order, watched, stopped in reverse order within a bound."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

log = logging.getLogger(__name__)

STOP_WITHIN = 4.5  # seconds for everything; the contract allows 5 from signal to exit


class Service(Protocol):
    """A part that can be started, watched and stopped."""

    name: str

    async def start(self) -> None:
        """Returns when the part does its work. Raises when it cannot; then ``stop`` is still called."""
        ...

    async def watch(self) -> None:
        """Does not return while the part is well. Raises what killed it; a plain return is a death as well."""
        ...

    async def stop(self) -> None:
        """Finish what was accepted, then let go of everything. Safe to call twice and after a failed start."""
        ...


class ServiceDied(RuntimeError):
    """A part ended although nobody asked it to."""

    def __init__(self, name: str, cause: BaseException | None) -> None:
        super().__init__(f"{name} died: {_words(cause)}" if cause else f"{name} ended by itself")
        self.name = name


class Runner:
    """The one owner of signals. ``await run()`` starts, waits for SIGINT/SIGTERM or a death, and stops in order."""

    def __init__(
        self,
        services: Sequence[Service],
        *,
        on_started: Callable[[], None] | None = None,
        stop_within: float = STOP_WITHIN,
        leave_within: float | None = None,
    ) -> None:
        """``stop_within``: seconds for all parts together. ``leave_within``: the process ends so many seconds after
        ``run`` at the latest, even if a thread hangs in a query or on a dead file server; ``None``: when it likes.
        """
        self._services = list(services)
        self._on_started = on_started
        self._stop_within = stop_within
        self._leave_within = leave_within
        self._asked = asyncio.Event()
        self._asked_at: float | None = None
        self._started: list[Service] = []

    def request_stop(self) -> None:
        if self._asked_at is None:
            self._asked_at = time.monotonic()
        self._asked.set()

    async def run(self, *, signals: bool = True) -> None:
        """Raises ``ServiceDied`` naming the part, when one died or could not start."""
        loop = asyncio.get_running_loop()
        if signals:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self.request_stop)
        status = 1
        try:
            if await self._start():
                if self._on_started:
                    self._on_started()
                await self._watch()
            status = 0
        except ServiceDied as death:
            # Said here already: stopping the others takes time, and may be cut short.
            log.error("a part died, stopping the others", extra={"part": death.name, "reason": str(death)})
            raise
        finally:
            await self._stop()
            if self._leave_within is not None:
                _leave_within(self._leave_within, status)

    async def _start(self) -> bool:
        """True when all are up; False when a stop was asked for meanwhile."""
        asked = asyncio.create_task(self._until_asked())
        starting: asyncio.Task[None] | None = None
        try:
            for service in self._services:
                if self._asked.is_set():
                    return False
                self._started.append(service)
                starting = asyncio.create_task(service.start())
                await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
                if not starting.done():
                    return False
                if error := _end_of(starting):
                    raise ServiceDied(service.name, error) from error
                log.debug("started", extra={"service": service.name})
            return not self._asked.is_set()
        finally:
            asked.cancel()
            if starting and not starting.done():
                await _let_go({starting}, 1)

    async def _watch(self) -> None:
        watches = {asyncio.create_task(s.watch()): s for s in self._services}
        asked = asyncio.create_task(self._until_asked())
        try:
            await asyncio.wait({asked, *watches}, return_when=asyncio.FIRST_COMPLETED)
            for task, service in watches.items():
                if task.done() and not self._asked.is_set():
                    cause = _end_of(task)
                    raise ServiceDied(service.name, cause) from cause
        finally:
            await _let_go({asked, *watches}, 1)

    async def _until_asked(self) -> None:
        await self._asked.wait()

    async def _stop(self) -> None:
        """Each in its own task: one that hangs, fails or swallows its cancellation does not keep the others up."""
        deadline = (self._asked_at or time.monotonic()) + self._stop_within
        while self._started:
            service = self._started.pop()
            left = max(0.1, deadline - time.monotonic())
            stopping = asyncio.create_task(service.stop())
            await asyncio.wait({stopping}, timeout=left)
            if not stopping.done():
                log.warning("did not stop in time", extra={"service": service.name, "seconds": round(left, 1)})
                await _let_go({stopping}, 0.1)
            elif error := _end_of(stopping):
                log.error("failed to stop", extra={"service": service.name}, exc_info=error)
            else:
                log.debug("stopped", extra={"service": service.name})


def _leave_within(seconds: float, status: int) -> None:
    """Python waits for the threads of its pools as long as they take; this process does not."""

    def leave() -> None:
        log.debug("leaving threads behind")
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)

    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()


async def _let_go(tasks: set[asyncio.Task[None]], seconds: float) -> None:
    """Cancel, and give them a moment; what will not end is left behind, its outcome of no interest."""
    for task in tasks:
        task.cancel()
        task.add_done_callback(_end_of)
    await asyncio.wait(tasks, timeout=seconds)


def _end_of(task: asyncio.Task[None]) -> BaseException | None:
    """What a finished task raised."""
    return asyncio.CancelledError("it was cancelled from inside") if task.cancelled() else task.exception()


def _words(error: BaseException | None) -> str:
    return f"{error}" if str(error) else type(error).__name__
