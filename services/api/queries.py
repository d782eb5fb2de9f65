"""Questions to the store: few at a time, each with a time limit, and a clear answer when the store cannot answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from services.api import messages
from services.api.errors import unavailable
from shared.store.port import Store, StoreError

log = logging.getLogger(__name__)

T = TypeVar("T")
TIMEOUT = 15.0  # seconds a question may take
WAIT = 5.0  # seconds it may wait for a free handle
MOST_WAITING = 64


class Queries:
    """A handle answers one question at a time (port), so there are as many questions under way as handles."""

    def __init__(self, *, timeout: float = TIMEOUT, wait: float = WAIT) -> None:
        self._timeout = timeout
        self._wait = wait
        self._stores: list[Store] = []
        self._idle: asyncio.LifoQueue[Store] = asyncio.LifoQueue()
        self._waiting = 0
        self._trouble: str | None = "the store has not been opened yet"

    def open(self, stores: Sequence[Store]) -> None:
        self._stores = list(stores)
        for store in stores:
            self._idle.put_nowait(store)
        self._trouble = None

    async def close(self) -> None:
        stores, self._stores = self._stores, []
        self._trouble = "the store was closed"
        await asyncio.gather(*(s.close() for s in stores), return_exceptions=True)

    def trouble(self) -> str | None:
        """Why the last question was not answered; ``None`` when it was."""
        return self._trouble

    async def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Raises ``ApiError`` 503 when the store is away, slow or overrun."""
        return await self._ask(lambda store: store.query(sql, parameters, timeout=self._timeout))

    async def columns(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Sequence[Any]]:
        """The same, column by column; no columns at all where there are no rows."""
        return await self._ask(lambda store: store.query_columns(sql, parameters, timeout=self._timeout))

    async def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        await self._ask(lambda store: store.insert_rows(table, columns, rows))

    async def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        await self._ask(lambda store: store.command(sql, parameters))

    async def _ask(self, question: Callable[[Store], Awaitable[T]]) -> T:
        store = await self._free()
        asking = asyncio.ensure_future(question(store))
        # A question whose asker has gone still occupies its handle until the store is done with it.
        asking.add_done_callback(lambda _: self._idle.put_nowait(store))
        try:
            async with asyncio.timeout(self._timeout + 1):
                answer = await asyncio.shield(asking)
        except TimeoutError:
            asking.add_done_callback(_looked_at)
            raise unavailable(messages.STORE_SLOW, 5) from None
        except StoreError as error:
            if error.permanent:
                raise
            self._trouble = str(error)
            log.warning("the store did not answer", extra={"reason": str(error)})
            raise unavailable() from None
        except asyncio.CancelledError:
            asking.add_done_callback(_looked_at)
            raise
        self._trouble = None
        return answer

    async def _free(self) -> Store:
        if not self._stores:
            raise unavailable()
        if not self._idle.empty():
            return self._idle.get_nowait()
        if self._waiting >= MOST_WAITING:
            raise unavailable(messages.BUSY)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait):
                return await self._idle.get()
        except TimeoutError:
            raise unavailable(messages.BUSY) from None
        finally:
            self._waiting -= 1


def _looked_at(asking: asyncio.Future[Any]) -> None:
    """So that nobody warns of an exception that nobody waited for."""
    if not asking.cancelled():
        asking.exception()
