"""The control topic as the detector hears it: opinions, from the first that was kept."""

from __future__ import annotations

import logging

from services.detector.feedback import Opinions
from shared.bus.port import Message, Tail
from shared.schemas.codec import BadLine, Decoder
from shared.schemas.control import Feedback

log = logging.getLogger(__name__)

FEEDBACK = "feedback:"


class Listening:
    def __init__(self, tail: Tail, opinions: Opinions) -> None:
        self._tail = tail
        self._opinions = opinions
        self._decoder: Decoder[Feedback] = Decoder(Feedback)

    async def run(self) -> None:
        """Until cancelled."""
        async for batch in self._tail.messages():
            for message in batch:
                self.take(message)

    def take(self, message: Message) -> None:
        key = (message.key or b"").decode(errors="replace")
        if not key.startswith(FEEDBACK):
            return
        if not message.value:
            self._opinions.forget(key.removeprefix(FEEDBACK))
            return
        for event in self._decoder.lines(message.value):
            if isinstance(event, BadLine):
                log.warning("a decision cannot be read", extra={"key": key, "reason": event.reason})
            else:
                self._opinions.take(event)
                log.info("feedback", extra={"anomaly": event.id, "host": event.host_id, "verdict": event.verdict})
