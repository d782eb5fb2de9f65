"""One thread that does one thing at a time, for clients that block."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

_Job = tuple[Callable[[], Any], "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class Worker:
    """``patience``: how many seconds the end of the process waits for what the thread is doing. None for a server,
    which may never answer; some for an engine inside the process, which should not be torn down at work.
    """

    def __init__(self, name: str, *, patience: float) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._patience = patience
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()
        atexit.register(self._finish)

    def run(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """To be awaited: the function's answer, or what it raised. Called within an event loop.

        It runs after all that was given before; when the waiting is cancelled, what runs still finishes.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put((function, future, loop))
        return future

    def stop(self) -> None:
        """The thread ends when it has done what it was given before."""
        self._jobs.put(None)

    def _finish(self) -> None:
        self.stop()
        self._thread.join(self._patience)

    def _work(self) -> None:
        self._take_jobs()
        atexit.unregister(self._finish)

    def _take_jobs(self) -> None:
        while job := self._jobs.get():
            function, future, loop = job
            if future.cancelled():
                continue
            try:
                outcome: Any = function()
                tell: Callable[[Any], None] = future.set_result
            except BaseException as error:
                outcome, tell = error, future.set_exception
            try:
                loop.call_soon_threadsafe(_settle, future, tell, outcome)
            except RuntimeError:
                continue  # the loop is closed: nobody waits any more


def _settle(future: asyncio.Future[Any], tell: Callable[[Any], None], outcome: Any) -> None:
    if not future.done():
        tell(outcome)
