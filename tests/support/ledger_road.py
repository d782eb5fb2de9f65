"""Samples on their way into the completeness ledger: a processor, a real store, and rollups that are asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from services.ingest.dead_letters import DeadLetters
from services.ingest.processor import Processor
from services.ingest.rollups import Rollups
from services.ingest.routes import ROUTES
from services.ingest.state import State
from shared.bus.port import Message, Receipt
from shared.runtime.clock import ManualClock
from shared.runtime.settings import Settings
from shared.schemas.topics import METRICS, SPOOLED_HEADER, Topic
from shared.store.ledger import FLEET, fleet_span
from shared.store.port import Store
from tests.support.samples import T0

HOUR = 3600
HOST = "host-1"
COLUMNS = ("expected", "stored", "missing", "late", "backfilled", "dropped", "dead_letters", "percent")


class Taken:
    """Takes dead letters."""

    def __init__(self) -> None:
        self.lines: list[bytes | None] = []

    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    async def publish(
        self, topic: Topic, key: str, value: bytes | None, headers: Mapping[str, bytes] | None = None
    ) -> Receipt:
        self.lines.append(value)
        return Receipt(topic.name, 0, len(self.lines) - 1)


def sample(second: float, seq: int, run: int = 1, *, host: str = HOST, dropped: Any = None) -> dict[str, Any]:
    """Numbered ``seq``, measured so many seconds after ``T0``, which is a full hour."""
    ts = T0 + round(second * 1000)
    event: dict[str, Any] = {
        "kind": "sample", "event_id": f"{host}-{ts}-{seq}", "ts": ts, "host_id": host, "host": "web-1", "seq": seq,
        "load": {"load1": 1.0, "load5": 1.0, "load15": 1.0},
    }  # fmt: skip
    if run:
        event["run"] = run
    if dropped is not None:
        state = {"version": "1", "interval_ms": 1000, "started_at": T0, "dropped_events": sum(dropped.values())}
        event["agent"] = {**state, "dropped": dropped}
    return event


def message(
    *events: dict[str, Any] | bytes, delay: float = 0.5, spooled: bool = False, host: str = HOST, sent_ms: int = T0
) -> Message:
    """Sent ``delay`` seconds after its first event was measured; at ``sent_ms`` where that is no event."""
    lines = [e if isinstance(e, bytes) else json.dumps(e).encode() for e in events]
    if isinstance(first := events[0], dict):
        sent_ms = first["ts"] + round(delay * 1000)
    return Message(
        METRICS.name, 0, 0, host.encode(), b"\n".join(lines), sent_ms, {SPOOLED_HEADER: b"1"} if spooled else {}
    )


class Road:
    """``clock`` begins eight hours after ``T0``, so that everything before is closed."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.clock = ManualClock(T0 + 8 * HOUR * 1000)
        self.dead = Taken()
        self.rollups = Rollups(store, self.clock, max_age_ms=14 * 86_400_000)
        self._processor = Processor(
            ROUTES[0],
            settings,
            self.clock,
            store,
            DeadLetters(self.dead, store, self.clock),
            self.rollups,
            State(self.clock),
        )

    async def bring(self, *messages: Message) -> None:
        await self._processor.handle(messages)

    async def hours(self, host: str = HOST, columns: Sequence[str] = COLUMNS) -> dict[int, dict[str, Any]]:
        """Hours since ``T0`` -> the ledger's row, computed now, by ``v_completeness``."""
        await self.rollups.round()
        rows = await self.store.query(
            f"SELECT toUnixTimestamp(hour), {', '.join(columns)} FROM v_completeness "
            "WHERE host_id = {host:String} ORDER BY hour",
            {"host": host},
        )
        return {(at - T0 // 1000) // HOUR: dict(zip(columns, row, strict=True)) for at, *row in rows}

    async def fleet(self, host: str = HOST, hours: int = 24) -> dict[str, Any]:
        """The host's row of the sums over all hosts."""
        rows = await self.store.query(FLEET, fleet_span(self.clock.now_ms(), hours))
        names = ("expected", "stored", "late", "backfilled", "dropped", "dead_letters")
        return next((dict(zip(names, row[1:], strict=True)) for row in rows if row[0] == host), {})
