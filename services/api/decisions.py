"""What people decide, kept in the store and told on the control topic.

The store is first: what is there is told again at every start, so that a broker that forgets, or was away when it
mattered, learns it in the end. Telling twice is harmless, the topic is compacted by key.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec

from services.api.errors import ApiError, unavailable
from services.api.messages import BUS_AWAY
from services.api.queries import Queries
from services.api.statements import statement
from shared.bus.port import BusError, Publisher
from shared.runtime.clock import Clock
from shared.runtime.retry import backoff
from shared.schemas.codec import encode
from shared.schemas.control import Control, key_of
from shared.schemas.topics import CONTROL

log = logging.getLogger(__name__)

RETRY_AFTER = 2


class Decisions:
    """Methods raise ``ApiError`` 503 while the store or the bus is away; to ask again is right then."""

    def __init__(self, queries: Queries, clock: Clock) -> None:
        self._queries = queries
        self._clock = clock
        self._publisher: Publisher | None = None
        self._version = 0

    def open(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def tell(self, event: Control) -> None:
        """In place of what was decided of the same key before."""
        await self._keep(key_of(event), encode(event))

    async def take_back(self, key: str) -> None:
        await self._keep(key, b"")

    async def taken_back(self, key: str, unknown: ApiError) -> dict[str, Any]:
        """What was decided, and is no more. Raises ``unknown`` where nothing was."""
        said = await self.of(key)
        if said is None:
            raise unknown
        await self.take_back(key)
        return said

    async def of(self, key: str) -> dict[str, Any] | None:
        """As it was told; ``None`` where nothing was decided, or not any more."""
        rows = await self._queries.rows(statement("decision"), {"key": key})
        return dict(msgspec.json.decode(rows[0][0])) if rows else None

    async def all_of(self, prefix: str) -> list[dict[str, Any]]:
        """Everything decided of keys that begin so, as it was told."""
        rows = await self._queries.rows(statement("decisions_of"), {"prefix": prefix})
        return [dict(msgspec.json.decode(value)) for (value,) in rows]

    async def say(self, event: Control) -> None:
        """Told, not kept: what matters now and never again."""
        await self._told(key_of(event), encode(event))

    async def unsay(self, key: str) -> None:
        await self._told(key, b"")

    async def tell_again(self) -> None:
        """Everything that is kept, however long it takes."""
        for delay in backoff():
            try:
                rows = await self._queries.rows(statement("decisions"))
                for key, value in rows:
                    await self._publish(key, value.encode())
                return
            except (ApiError, BusError) as error:
                log.debug("what was decided is not told again yet", extra={"reason": str(error)})
                await asyncio.sleep(delay)

    async def _keep(self, key: str, value: bytes) -> None:
        # Two in one millisecond are two.
        self._version = max(self._clock.now_ms(), self._version + 1)
        await self._queries.insert("decisions", ["key", "value", "version"], [(key, value.decode(), self._version)])
        await self._told(key, value)

    async def _told(self, key: str, value: bytes) -> None:
        try:
            await self._publish(key, value)
        except BusError as error:
            log.warning("a decision could not be told", extra={"key": key, "reason": str(error)})
            raise unavailable(BUS_AWAY, RETRY_AFTER) from None

    async def _publish(self, key: str, value: bytes) -> None:
        if self._publisher is None:
            raise BusError("the API is starting")
        await self._publisher.publish(CONTROL, key, value or None)
