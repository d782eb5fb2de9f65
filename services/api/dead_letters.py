"""Dead letters: looked at, sent to their topic once more, or dropped.

Ingest puts them into the table ``dead_letters``; here they are settled. What a retry sends is stored like anything
else, once, by its own key; should it be refused again it is a new letter that names the old one.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from services.api import messages
from services.api.errors import ApiError, conflict, not_found, unavailable
from services.api.queries import Queries
from services.api.statements import statement
from shared.bus.kafka import publisher
from shared.bus.port import BusError, Publisher
from shared.runtime import times
from shared.runtime.settings import Settings
from shared.schemas.topics import EVENT_TOPICS

log = logging.getLogger(__name__)

AT_ONCE = 100
_TOPICS = {topic.name: topic for topic in EVENT_TOPICS}

MakePublisher = Callable[[Settings], Publisher]


@dataclass(frozen=True)
class Wanted:
    """Which letters. Several values of a field: any of them; empty: all. ``ids``: of letters, or ``topic:partition:
    offset`` of the message one came from.
    """

    ids: Sequence[str] = ()
    topic: Sequence[str] = ()
    host: Sequence[str] = ()
    stage: Sequence[str] = ()
    state: Sequence[str] = ("open",)
    reason: str = ""
    since_ms: int = 0

    def bound(self) -> dict[str, Any]:
        return {
            "ids": list(self.ids),
            "topic": list(self.topic),
            "host": list(self.host),
            "stage": list(self.stage),
            "state": list(self.state),
            "reason": self.reason,
            "since": self.since_ms,
        }


@dataclass(frozen=True)
class Settled:
    """``matched``: letters that were wanted; ``settled``: those that are done with now (or would be); ``hopeless``:
    those of them no retry can help, because their line was cut or is empty; ``left``: for the next call.
    """

    matched: int
    settled: int
    hopeless: int
    left: int


class DeadLetterOffice:
    """Every method raises ``ApiError`` 503 when the store is away."""

    def __init__(self, queries: Queries, settings: Settings, make_publisher: MakePublisher | None = None) -> None:
        self._queries = queries
        self._settings = settings
        self._make_publisher = make_publisher or _publisher

    async def newest(self, wanted: Wanted, limit: int) -> list[dict[str, Any]]:
        """The newest first."""
        rows = await self._queries.rows(_statement("list"), wanted.bound() | {"limit": limit})
        return [_shape(row) for row in rows]

    async def counts(self, wanted: Wanted, limit: int) -> list[dict[str, Any]]:
        """By topic, stage, reason and host; the most frequent first."""
        rows = await self._queries.rows(_statement("counts"), wanted.bound() | {"limit": limit})
        return [
            {
                "topic": topic,
                "stage": stage,
                "reason": reason,
                "host_id": host_id,
                "letters": count,
                "first": times.iso(first),
                "last": times.iso(last),
            }
            for topic, stage, reason, host_id, count, first, last in rows
        ]

    async def show(self, name: str) -> dict[str, Any]:
        """With its line. Raises ``ApiError`` 404 where there is no such letter, 409 where there are several."""
        everything = Wanted(ids=[name], state=())
        rows = await self._queries.rows(_statement("list"), everything.bound() | {"limit": 10})
        if not rows:
            raise not_found(messages.UNKNOWN_LETTER.of(id=name))
        if len(rows) > 1:
            raise conflict(messages.AMBIGUOUS_LETTER.of(id=name, ids=", ".join(row[0] for row in rows)))
        shape = _shape(rows[0])
        ((encoded,),) = await self._queries.rows(statement("letters_value"), {"id": shape["id"]})
        return shape | {
            "value": base64.b64decode(encoded).decode("utf-8", "replace"),
            "value_base64": encoded,
        }

    async def retry(self, wanted: Wanted, limit: int, by: str, now_ms: int, *, dry_run: bool) -> Settled:
        """At most ``limit`` letters, the oldest first. Raises ``ApiError`` 409 where there is no broker to send to, 503
        where it takes nothing; what was sent until then is settled.
        """
        matched, hopeless = await self._count(wanted)
        if dry_run:
            return Settled(matched, min(limit, matched - hopeless), hopeless, max(0, matched - hopeless - limit))
        done = 0
        out = self._make_publisher(self._settings)
        await out.start()
        try:
            while done < limit:
                rows = await self._queries.rows(
                    _statement("to_send"), wanted.bound() | {"limit": min(AT_ONCE, limit - done)}
                )
                if not rows:
                    break
                done += await self._send(out, rows, by, now_ms)
        finally:
            await out.stop()
        return Settled(matched, done, hopeless, max(0, matched - hopeless - done))

    async def _send(self, out: Publisher, rows: Sequence[Sequence[Any]], by: str, now_ms: int) -> int:
        outcomes = await asyncio.gather(*(_resent(out, row, now_ms) for row in rows), return_exceptions=True)
        sent = [row[0] for row, outcome in zip(rows, outcomes, strict=True) if outcome is None]
        await self._settle(sent, "retried", by, now_ms)
        for outcome in outcomes:
            if isinstance(outcome, BusError):
                raise unavailable(messages.BUS_REFUSED.of(reason=str(outcome)), 5) from None
            if outcome is not None:
                raise outcome
        return len(sent)

    async def drop(self, wanted: Wanted, by: str, now_ms: int, *, dry_run: bool) -> Settled:
        matched, hopeless = await self._count(wanted)
        if matched and not dry_run:
            await self._queries.command(
                _statement("settle"), wanted.bound() | {"new": "dropped", "by": by, "now": now_ms}
            )
            log.warning("dead letters were dropped", extra={"letters": matched, "by": by})
        return Settled(matched, matched, hopeless, 0)

    async def _settle(self, ids: Sequence[str], state: str, by: str, now_ms: int) -> None:
        if ids:
            await self._queries.command(
                _statement("settle"), Wanted(ids=ids).bound() | {"new": state, "by": by, "now": now_ms}
            )
            log.info("dead letters were sent again", extra={"letters": len(ids), "by": by})

    async def _count(self, wanted: Wanted) -> tuple[int, int]:
        ((matched, hopeless),) = await self._queries.rows(_statement("count"), wanted.bound())
        return matched, hopeless


def _statement(name: str) -> str:
    """Of the letters that are ``Wanted``."""
    return statement(f"letters_{name}", wanted=statement("letters_wanted"))


async def _resent(out: Publisher, row: Sequence[Any], now_ms: int) -> None:
    letter, topic, host_id, encoded = row
    headers = {"retry_of": letter.encode(), "retried_at": str(now_ms).encode()}
    await out.publish(_TOPICS[topic], host_id, base64.b64decode(encoded), headers)


def _publisher(settings: Settings) -> Publisher:
    if "://" in settings.kafka.bootstrap_servers:
        raise ApiError(409, messages.NO_BROKER)
    try:
        return publisher(settings.kafka, "lapwing-dead-letters")
    except BusError as error:
        raise unavailable(messages.BUS_REFUSED.of(reason=str(error)), 5) from None


def _shape(row: Sequence[Any]) -> dict[str, Any]:
    (
        letter, failed_at, topic, partition, offset, line, sent_at, host_id, stage, reason, size, kept, retry_of, state,
        settled_at, settled_by,
    ) = row  # fmt: skip
    return {
        "id": letter,
        "failed_at": times.iso(failed_at),
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "line": line,
        "sent_at": times.iso(sent_at),
        "host_id": host_id,
        "stage": stage,
        "reason": reason,
        "bytes": size,
        "truncated": size > kept,
        "retry_of": retry_of,
        "state": state,
        "settled_at": None if settled_at is None else times.iso(settled_at),
        "settled_by": settled_by,
    }
