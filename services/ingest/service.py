"""Ingest: the only writer of what was measured. Topics in, tables, rollups and dead letters out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from services.ingest.broken_parts import tell_broken_parts
from services.ingest.dead_letters import DeadLetters, tell_open
from services.ingest.processor import Processor
from services.ingest.retention import enforce_cap
from services.ingest.rollups import Rollups
from services.ingest.routes import ROUTES
from services.ingest.state import State
from shared.bus import kafka
from shared.bus.port import Publisher, Receipt
from shared.bus.stream import StreamService, batches, stream_app
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.health import Health
from shared.runtime.lifecycle import Service
from shared.runtime.settings import Settings
from shared.schemas.base import DAY_MS
from shared.store.clickhouse import open_store
from shared.store.port import Store, StoreError

log = logging.getLogger(__name__)

CAP_EVERY = 300.0
COUNT_LETTERS_EVERY = 60.0

OpenStore = Callable[[Settings, str], Awaitable[Store]]


def build(
    settings: Settings,
    *,
    clock: Clock | None = None,
    health: Health | None = None,
    open_store: OpenStore = open_store,
    publisher: Publisher | None = None,
    session_timeout: float = 10.0,
) -> Service:
    """``open_store``, ``publisher`` and ``session_timeout`` (``stream_app``) are for tests. Raises ``BusError`` on
    settings that cannot work.
    """
    clock = clock or SystemClock()
    publisher = publisher or kafka.publisher(settings.kafka, "lapwing-ingest")
    service = _Ingest(settings, clock, open_store, publisher, session_timeout)
    if health:
        health.progress["ingest"] = service.state.progress
        health.warnings["ingest: store"] = service.state.store
        health.warnings["ingest: dead letters"] = service.state.bus
    return service


class _Ingest:
    name = "ingest"

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        open_store: OpenStore,
        publisher: Publisher,
        session_timeout: float,
    ) -> None:
        self._settings = settings
        self._session_timeout = session_timeout
        self._clock = clock
        self._open_store = open_store
        self._publisher = publisher
        self._stores: list[Store] = []
        self._stream: StreamService | None = None
        self._housekeeping: list[asyncio.Task[None]] = []
        self.state = State(clock)

    async def start(self) -> None:
        writer, keeper = await self._store("writer"), await self._store("housekeeper")
        rollups = Rollups(keeper, self._clock, max_age_ms=self._settings.clickhouse.raw_days * DAY_MS)
        await self._publisher.start()
        dead_letters = DeadLetters(self._publisher, writer, self._clock)
        app = stream_app(self._settings, self.name, session_timeout=self._session_timeout)
        ingest = self._settings.ingest
        for route in ROUTES:
            processor = Processor(route, self._settings, self._clock, writer, dead_letters, rollups, self.state)
            seconds = min(ingest.batch_seconds, route.seconds)
            batches(app, [route.topic], ingest.batch_events, seconds, processor.handle, ahead=True)
        self._stream = StreamService(self.name, app)
        await self._stream.start()
        self._housekeeping = [
            asyncio.create_task(rollups.run(), name="rollups"),
            asyncio.create_task(self._look_after_parts(keeper), name="size cap"),
            asyncio.create_task(self._count_letters(keeper), name="dead letters"),
        ]

    def stored(self, receipt: Receipt) -> bool:
        """Whether this message is in the store or among the dead letters; also after ``stop``."""
        return self._stream is not None and self._stream.handled(receipt)

    def read(self, receipt: Receipt) -> bool:
        """Whether this message is in our hands, and the broker needed no more."""
        return self._stream is not None and self._stream.read(receipt)

    def hasten(self) -> None:
        """Stores what is in our hands, without collecting more."""
        if self._stream is not None:
            self._stream.hasten()

    async def watch(self) -> None:
        assert self._stream is not None
        parts = {asyncio.create_task(self._stream.watch(), name="stream"), *self._housekeeping}
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
        finally:
            for part in parts:
                part.cancel()

    async def stop(self) -> None:
        for task in self._housekeeping:
            task.cancel()
        if self._stream:
            await self._stream.stop()
        await asyncio.gather(*self._housekeeping, return_exceptions=True)
        await self._publisher.stop()
        while self._stores:
            await self._stores.pop().close()

    async def _store(self, role: str) -> Store:
        store = await self._open_store(self._settings, role)
        self._stores.append(store)
        return store

    async def _look_after_parts(self, store: Store) -> None:
        broken: dict[str, int] = {}
        while True:
            try:
                await enforce_cap(store, self._clock, self._settings.clickhouse.max_bytes)
                broken = await tell_broken_parts(store, broken)
            except StoreError as error:
                log.warning("the size of the store could not be looked at", extra={"reason": str(error)})
            await asyncio.sleep(CAP_EVERY)

    async def _count_letters(self, store: Store) -> None:
        while True:
            try:
                await tell_open(store, [route.topic for route in ROUTES])
            except StoreError as error:
                log.debug("the dead letters could not be counted", extra={"reason": str(error)})
            await asyncio.sleep(COUNT_LETTERS_EVERY)
