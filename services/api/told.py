"""What the alerter says of itself: how it is set up, and how what it was asked to try ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from shared.bus.port import Message, Tail
from shared.schemas.alert import Delivery
from shared.schemas.codec import BadLine, Decoder
from shared.schemas.control import Setup

log = logging.getLogger(__name__)

SETUP = b"setup:alerter"
MOST_ANSWERS = 32


class Told:
    """``setup`` is ``None`` until an alerter has said how it is set up."""

    def __init__(self) -> None:
        self.setup: Setup | None = None
        self._decoder: Decoder[Setup] = Decoder(Setup)
        self._awaited: dict[str, asyncio.Queue[Delivery]] = {}

    async def follow(self, control: Tail) -> None:
        """The control topic from its first message on, until cancelled."""
        async for batch in control.messages():
            for message in batch:
                self.take(message)

    def take(self, message: Message) -> None:
        if message.key != SETUP:
            return
        if not message.value:
            self.setup = None
            return
        for event in self._decoder.lines(message.value):
            if isinstance(event, BadLine):
                log.warning("the alerter's setup cannot be read", extra={"reason": event.reason})
            else:
                self.setup = event

    def delivered(self, event: Delivery) -> None:
        answers = self._awaited.get(event.notification_id)
        if answers is not None and not answers.full():
            answers.put_nowait(event)

    @contextmanager
    def awaited(self, notification_id: str) -> Iterator[asyncio.Queue[Delivery]]:
        """What becomes of one notification, as it is told."""
        answers: asyncio.Queue[Delivery] = asyncio.Queue(MOST_ANSWERS)
        self._awaited[notification_id] = answers
        try:
            yield answers
        finally:
            del self._awaited[notification_id]
