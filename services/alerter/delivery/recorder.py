"""Puts what was done about alerts on their topic, in the background: a broker that is away must not hold up a mail."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress

from shared.bus.port import BusError, Publisher
from shared.runtime.retry import backoff
from shared.schemas.alert import Attention, Delivery
from shared.schemas.codec import encode
from shared.schemas.topics import ALERTS

log = logging.getLogger(__name__)

MAX_WAITING = 10_000


class Recorder:
    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._waiting: deque[Delivery | Attention] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.lost = 0

    def record(self, event: Delivery | Attention) -> None:
        """Never waits. What is lost here is at worst delivered again after a restart."""
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self.lost += 1
            if self.lost == 1:
                log.error("records of deliveries are being lost: the broker is away", extra={"kept": MAX_WAITING})
        self._waiting.append(event)
        self._idle.clear()
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        delays = backoff()
        while True:
            if not self._waiting:
                self._idle.set()
                self._wake.clear()
                await self._wake.wait()
            event = self._waiting[0]
            try:
                await self._publisher.publish(ALERTS, event.host_id, encode(event))
            except BusError as error:
                if not error.permanent:
                    await asyncio.sleep(next(delays))
                    continue
                log.error("what was done cannot be recorded", extra={"reason": str(error)})
            delays = backoff()
            if self._waiting and self._waiting[0] is event:
                self._waiting.popleft()

    async def drain(self, within: float) -> None:
        """Waits until everything is recorded, at most ``within`` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._idle.wait()
