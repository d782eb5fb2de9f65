"""How complete the hosts' data is, by the store's ledger: all hosts over the last day, or one host hour by hour."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from services.api.errors import ApiError
from services.api.queries import Queries
from services.api.statements import statement
from shared.runtime import times
from shared.runtime.clock import Clock
from shared.store.ledger import FLEET, fleet_span
from shared.store.port import StoreError

log = logging.getLogger(__name__)

HOLDS = 60.0  # seconds
AGAIN = 10.0  # seconds until a store that did not answer is asked again
PATIENCE = 1.0  # seconds a question is waited for, where an older answer, or none, will do
MOST_HOURS = 20_000


@dataclass(frozen=True)
class Account:
    """Events, counted. ``dropped`` by the agent and ``dead_letters`` by ingest, in these hours, whenever they were
    measured.
    """

    expected: int
    stored: int
    late: int
    backfilled: int
    dropped: Mapping[str, int]
    dead_letters: int

    @property
    def percent(self) -> float | None:
        """Of the expected that are stored, rounded down: 100 means all. ``None`` where nothing was expected."""
        return math.floor(10_000 * self.stored / self.expected) / 100 if self.expected else None

    def shown(self) -> dict[str, Any]:
        return {**asdict(self), "missing": self.expected - self.stored, "percent": self.percent}


class Ledger:
    def __init__(self, queries: Queries, clock: Clock) -> None:
        self._queries = queries
        self._clock = clock
        self._day: dict[str, Account] = {}
        self._ask_at = -math.inf
        self._asking: asyncio.Task[None] | None = None

    async def day(self) -> Mapping[str, Account]:
        """Host id -> the last 24 hours, at most a minute old while the store answers. Hosts the ledger does not know,
        and all of them before its first answer, are left out. Does not fail, nor wait for a slow store.
        """
        if self._asking is None and self._clock.monotonic() >= self._ask_at:
            self._asking = asyncio.create_task(self._refresh(), name="api-ledger")
        if self._asking is not None:
            await asyncio.wait({self._asking}, timeout=PATIENCE)
        return self._day

    async def hours(self, host_id: str, since_ms: int, until_ms: int) -> list[dict[str, Any]]:
        """The hours that the range touches and of which there is anything, the earliest first.

        Raises ``ApiError`` 503.
        """
        rows = await self._queries.rows(
            statement("completeness_hours"), {"host": host_id, "from": since_ms, "to": until_ms, "most": MOST_HOURS}
        )
        names = ("expected", "stored", "missing", "late", "backfilled", "dropped", "dead_letters", "percent")
        return [{"hour": times.iso(hour), **dict(zip(names, row, strict=True))} for hour, *row in rows]

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _refresh(self) -> None:
        self._ask_at = self._clock.monotonic() + AGAIN
        try:
            rows = await self._queries.rows(FLEET, fleet_span(self._clock.now_ms()))
            self._day = {host_id: Account(*row) for host_id, *row in rows}
            self._ask_at = self._clock.monotonic() + HOLDS
        except (ApiError, StoreError) as error:
            log.debug("the ledger could not be read", extra={"reason": str(error)})
        finally:
            self._asking = None
