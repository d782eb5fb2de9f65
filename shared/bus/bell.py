"""Who publishes rings, who reads listens: for a broker inside this process, which answers a fetch only when its wait is
over. So nobody there asks for what is not there, nor learns late of what is; other brokers have no bell.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Collection

UNRUNG_SECONDS = 2.0
"""After so long without a ring it is worth a look: somebody outside may have published."""


class Bell:
    """``ring`` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ears: weakref.WeakSet[Ear] = weakref.WeakSet()

    def ring(self, topic: str) -> None:
        """There is something new on ``topic``."""
        with self._lock:
            ears = list(self._ears)
        for ear in ears:
            ear.hear(topic)

    def ear(self, topics: Collection[str]) -> Ear:
        """One that listens to these topics for as long as it is kept."""
        ear = Ear(topics)
        with self._lock:
            self._ears.add(ear)
        return ear


class Ear:
    """One waits at a time."""

    def __init__(self, topics: Collection[str]) -> None:
        self._topics = frozenset(topics)
        self._rung = False
        self._waiting: asyncio.Future[None] | None = None

    def hear(self, topic: str) -> None:
        if topic not in self._topics:
            return
        self._rung = True
        waiting = self._waiting
        if waiting is None or waiting.done():
            return
        loop = waiting.get_loop()
        if asyncio._get_running_loop() is loop:
            waiting.set_result(None)
        elif not loop.is_closed():
            loop.call_soon_threadsafe(_settle, waiting)

    async def rung(self, within: float = UNRUNG_SECONDS) -> None:
        """Returns at the first ring since this returned last, at once where that was already; or after ``within``
        seconds.
        """
        if not self._rung:
            loop = asyncio.get_running_loop()
            self._waiting = loop.create_future()
            timer = loop.call_later(within, _settle, self._waiting)
            try:
                await self._waiting
            finally:
                timer.cancel()
                self._waiting = None
        self._rung = False


def _settle(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


_bells: dict[str, Bell] = {}


def hang(address: str) -> None:
    """The broker at ``address`` is inside this process."""
    _bells[address] = Bell()


def take_down(address: str) -> None:
    """It is gone. Harmless where there was none."""
    _bells.pop(address, None)


def bell_at(address: str) -> Bell | None:
    """``None`` for a broker that is not inside this process."""
    return _bells.get(address)
