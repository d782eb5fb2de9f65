"""Lines that cannot be stored go to ``<topic>.dlq`` with the reason, so that nothing vanishes without a word."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from shared.bus.port import Message, Publisher
from shared.runtime import selfmetrics
from shared.runtime.clock import Clock
from shared.schemas.topics import Topic

log = logging.getLogger(__name__)

Stage = Literal["decode", "time", "store"]
MAX_KEPT_BYTES = 256 << 10
AT_ONCE = 100


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
        return {name: text.encode("utf-8", "replace") for name, text in texts.items()}

    @property
    def key(self) -> str:
        return (self.message.key or b"").decode("utf-8", "replace")[:200]


class DeadLetters:
    """Publishes dead letters. A normal return of ``send`` guarantees that the broker has them."""

    def __init__(self, publisher: Publisher, clock: Clock) -> None:
        self._publisher = publisher
        self._clock = clock

    async def send(self, topic: Topic, letters: Sequence[DeadLetter]) -> None:
        """Raises ``BusError``; some may have been sent then, and sending all again is right."""
        if not letters:
            return
        now_ms = self._clock.now_ms()
        for start in range(0, len(letters), AT_ONCE):
            sending = [self._one(topic, letter, now_ms) for letter in letters[start : start + AT_ONCE]]
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
