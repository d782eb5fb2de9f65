"""Puts what was done about alerts on their topic, in the background: a broker that is away must not hold up a mail."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from itertools import islice

from shared.bus.port import BusError, Publisher
from shared.runtime.retry import backoff
from shared.runtime.selfmetrics import ALERTER_LOST
from shared.schemas.alert import Attention, Delivery
from shared.schemas.codec import encode
from shared.schemas.topics import ALERTS

log = logging.getLogger(__name__)

MAX_WAITING = 50_000
AT_ONCE = 200


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
            ALERTER_LOST.add()
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
            some = list(islice(self._waiting, AT_ONCE))
            results = await asyncio.gather(*map(self._publish, some), return_exceptions=True)
            settled: set[int] = set()
            for event, result in zip(some, results, strict=True):
                if not isinstance(result, BusError) and isinstance(result, BaseException):
                    raise result
                if result is None or result.permanent:
                    settled.add(id(event))
                if result is not None and result.permanent:
                    log.error("what was done cannot be recorded", extra={"reason": str(result)})
            self._waiting = deque(e for e in self._waiting if id(e) not in settled)
            if len(settled) < len(some):
                await asyncio.sleep(next(delays))
            else:
                delays = backoff()

    async def _publish(self, event: Delivery | Attention) -> None:
        """In their order: who asks the publisher first is first."""
        await self._publisher.publish(ALERTS, event.host_id, encode(event))

    async def drain(self, within: float) -> None:
        """Waits until everything is recorded, at most ``within`` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._idle.wait()
