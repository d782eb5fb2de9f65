"""Things that live: started in order, watched, stopped in reverse order within a bound."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
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
    ) -> None:
        self._services = list(services)
        self._on_started = on_started
        self._stop_within = stop_within
        self._asked = asyncio.Event()
        self._started: list[Service] = []

    def request_stop(self) -> None:
        self._asked.set()

    async def run(self, *, signals: bool = True) -> None:
        """Raises ``ServiceDied`` naming the part, when one died or could not start."""
        loop = asyncio.get_running_loop()
        if signals:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self.request_stop)
        try:
            if await self._start():
                if self._on_started:
                    self._on_started()
                await self._watch()
        finally:
            await self._stop()

    async def _start(self) -> bool:
        """True when all are up; False when a stop was asked for meanwhile."""
        asked = asyncio.create_task(self._until_asked())
        try:
            for service in self._services:
                self._started.append(service)
                starting = asyncio.create_task(service.start())
                await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
                if not starting.done():
                    starting.cancel()
                    await asyncio.wait({starting}, timeout=1)
                    return False
                if error := starting.exception():
                    raise ServiceDied(service.name, error) from error
                log.debug("started", extra={"service": service.name})
            return not self._asked.is_set()
        finally:
            asked.cancel()

    async def _watch(self) -> None:
        watches = {asyncio.create_task(s.watch()): s for s in self._services}
        asked = asyncio.create_task(self._until_asked())
        try:
            await asyncio.wait({asked, *watches}, return_when=asyncio.FIRST_COMPLETED)
            for task, service in watches.items():
                if task.done():
                    cause = None if task.cancelled() else task.exception()
                    raise ServiceDied(service.name, cause) from cause
        finally:
            for task in (asked, *watches):
                task.cancel()
            await asyncio.gather(asked, *watches, return_exceptions=True)

    async def _until_asked(self) -> None:
        await self._asked.wait()

    async def _stop(self) -> None:
        deadline = asyncio.get_running_loop().time() + self._stop_within
        while self._started:
            service = self._started.pop()
            left = max(0.1, deadline - asyncio.get_running_loop().time())
            try:
                async with asyncio.timeout(left):
                    await service.stop()
                log.debug("stopped", extra={"service": service.name})
            except TimeoutError:
                log.warning("did not stop in time", extra={"service": service.name, "seconds": round(left, 1)})
            except Exception:
                log.exception("failed to stop", extra={"service": service.name})


def _words(error: BaseException | None) -> str:
    return f"{error}" if str(error) else type(error).__name__
