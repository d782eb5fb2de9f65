"""A batch of one topic's messages: sorted at the gate, stored, the refused put aside; then it may be acknowledged."""

from __future__ import annotations

from collections.abc import Sequence

from services.ingest.dead_letters import DeadLetters
from services.ingest.gate import Gate
from services.ingest.ledger import store_notes
from services.ingest.rollups import Rollups
from services.ingest.routes import Route
from services.ingest.state import State
from services.ingest.writer import write
from shared.bus.port import Message
from shared.runtime import selfmetrics
from shared.runtime.clock import Clock
from shared.runtime.settings import Settings
from shared.schemas.base import DAY_MS
from shared.store.port import Store


class Processor:
    """``handle`` is safe to repeat with the same batch: keys make what it stores twice one, dead letters carry their
    origin, rollups are recomputed.
    """

    def __init__(
        self,
        route: Route,
        settings: Settings,
        clock: Clock,
        store: Store,
        dead_letters: DeadLetters,
        rollups: Rollups,
        state: State,
    ) -> None:
        self._route = route
        self._clock = clock
        self._store = store
        self._dead_letters = dead_letters
        self._rollups = rollups
        self._state = state
        self._gate = Gate(
            route.models,
            route.rolled_up[0] if route.rolled_up else None,
            max_future_ms=round(settings.ingest.max_future_seconds * 1000),
            max_age_ms=getattr(settings.clickhouse, route.keep) * DAY_MS,
            ledger=route.ledger,
        )

    async def handle(self, batch: Sequence[Message]) -> None:
        """Everything in the batch is durable afterwards, in the store or among the dead letters.

        Raises ``StoreError`` and ``BusError``; a temporary one asks for the same batch again.
        """
        with self._state.working():
            await self._handle(batch)

    async def _handle(self, batch: Sequence[Message]) -> None:
        topic = self._route.topic
        now_ms = self._clock.now_ms()
        out = self._gate.sort(batch, now_ms)
        dead = out.dead
        for day in sorted(out.days):
            dead += await write(self._store, self._route.landing, out.days[day])
        if self._route.ledger:
            await store_notes(self._store, out.notes, dead)
        if self._route.rolled_up:
            self._rollups.touch(self._route.rolled_up[1], out.touched)
        await self._dead_letters.send(topic, dead)
        selfmetrics.INGEST_BATCH_EVENTS.observe(sum(map(len, out.days.values())), topic.name)
        if out.newest_ms:
            selfmetrics.INGEST_BEHIND_SECONDS.set((self._clock.now_ms() - out.newest_ms) / 1000, topic.name)
