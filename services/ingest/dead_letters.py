"""Lines that cannot be stored are put aside with the reason, so that nothing vanishes without a word: on
``<topic>.dlq`` for whoever reads the bus, and in the table ``dead_letters``, where they are listed and settled.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from shared.bus.port import Message, Publisher
from shared.runtime import selfmetrics
from shared.runtime.clock import Clock
from shared.schemas.topics import Topic
from shared.store.port import Store

log = logging.getLogger(__name__)

Stage = Literal["decode", "time", "store"]
MAX_KEPT_BYTES = 256 << 10
AT_ONCE = 100
TABLE = "dead_letters"
COLUMNS = (
    "failed_at", "id", "topic", "partition", "offset", "line", "sent_at", "host_id", "stage", "reason", "value",
    "bytes", "retry_of", "state", "version",
)  # fmt: skip
LATEST_MS = 4_102_444_800_000  # 2100-01-01: what a message says of its time may be anything


@dataclass(frozen=True)
class DeadLetter:
    """``number`` is the line's within its message; ``stage`` is who refused it: the gate for what it says
    (``decode``) or when (``time``), or the store.
    """

    message: Message
    line: bytes
    number: int
    stage: Stage
    reason: str

    def headers(self, now_ms: int) -> dict[str, bytes]:
        origin = self.message
        texts = {
            "reason": self.reason[:1000],
            "stage": self.stage,
            "topic": origin.topic,
            "partition": str(origin.partition),
            "offset": str(origin.offset),
            "line": str(self.number),
            "timestamp": str(origin.timestamp_ms),
            "failed_at": str(now_ms),
            "host": self.key,
        }
        if len(self.line) > MAX_KEPT_BYTES:
            texts["truncated_from"] = str(len(self.line))
        if self.retry_of:
            texts["retry_of"] = self.retry_of
        return {name: text.encode("utf-8", "replace") for name, text in texts.items()}

    @property
    def key(self) -> str:
        return (self.message.key or b"").decode("utf-8", "replace")[:200]

    @property
    def id(self) -> str:
        """16 hex digits. The same when the same message is read again; another where a topic was made anew and its
        offsets began again.
        """
        origin = self.message
        where = f"{origin.topic}:{origin.partition}:{origin.offset}:{self.number}:{origin.timestamp_ms}\0"
        return hashlib.blake2b(where.encode() + self.line[:MAX_KEPT_BYTES], digest_size=8).hexdigest()

    @property
    def retry_of(self) -> str:
        """The id of the letter whose retry was refused again, or nothing."""
        return self.message.headers.get("retry_of", b"").decode("ascii", "replace")[:16]

    def row(self, now_ms: int) -> tuple[Any, ...]:
        """In the order of ``COLUMNS``."""
        origin = self.message
        return (
            _when(now_ms),
            self.id,
            origin.topic,
            origin.partition,
            origin.offset,
            self.number,
            _when(min(max(0, origin.timestamp_ms), LATEST_MS)),
            self.key,
            self.stage,
            self.reason[:1000].encode("utf-8", "replace").decode(),
            self.line[:MAX_KEPT_BYTES],
            len(self.line),
            self.retry_of,
            "open",
            0,
        )


def _when(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


class DeadLetters:
    """Publishes and stores dead letters. A normal return of ``send`` guarantees that broker and store have them."""

    def __init__(self, publisher: Publisher, store: Store, clock: Clock) -> None:
        self._publisher = publisher
        self._store = store
        self._clock = clock

    async def send(self, topic: Topic, letters: Sequence[DeadLetter]) -> None:
        """Raises ``BusError`` and ``StoreError``; some may have been sent then, and sending all again is right."""
        if not letters:
            return
        now_ms = self._clock.now_ms()
        for start in range(0, len(letters), AT_ONCE):
            some = letters[start : start + AT_ONCE]
            await self._store.insert_rows(TABLE, COLUMNS, [letter.row(now_ms) for letter in some])
            sending = [self._one(topic, letter, now_ms) for letter in some]
            for outcome in await asyncio.gather(*sending, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
        for letter in letters:
            selfmetrics.INGEST_DEAD_LETTERS.add(1, topic.name, letter.stage)
        log.warning(
            "lines were refused and put aside",
            extra={
                "topic": topic.dlq.name,
                "lines": len(letters),
                "host": letters[0].key,
                "stage": letters[0].stage,
                "reason": letters[0].reason,
            },
        )

    async def _one(self, topic: Topic, letter: DeadLetter, now_ms: int) -> None:
        await self._publisher.publish(topic.dlq, letter.key, letter.line[:MAX_KEPT_BYTES], letter.headers(now_ms))


async def tell_open(store: Store, topics: Sequence[Topic]) -> None:
    """Sets the metric of the letters nobody has settled. Raises ``StoreError``."""
    rows = await store.query("SELECT topic, count() FROM dead_letters FINAL WHERE state = 'open' GROUP BY topic")
    found: dict[str, int] = dict(rows)
    for topic in topics:
        selfmetrics.INGEST_DEAD_LETTERS_OPEN.set(found.get(topic.name, 0), topic.name)
