"""The alerts and control topics as every alerter reads them, from their beginning: the picture all of them share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Annotated, Protocol, TypeVar

from pydantic import Field, TypeAdapter

from shared.bus.port import BusError, Message, Tail
from shared.schemas.alert import Alert, Attention, Delivery
from shared.schemas.control import CONTROLS, Control, key_of
from shared.schemas.topics import ALERTS

log = logging.getLogger(__name__)

E = TypeVar("E")

READ_WITHIN = 20.0

Said = Alert | Attention | Delivery
History = Callable[[], Awaitable[Iterable[Said | Control]]]
"""What a broker has forgotten, from where it is kept: at least the newest event of every alert that is open,
the deliveries about them, and what was decided; in any order."""


class Listener(Protocol):
    def hear(self, event: Said) -> None:
        """An event of the alerts topic."""
        ...

    def told(self, key: str, event: Control | None) -> None:
        """The newest of a key of the control topic; ``None``: taken back."""
        ...


class Following:
    def __init__(self, tail: Tail, listener: Listener, history: History | None = None) -> None:
        self._tail = tail
        self._listener = listener
        self._history = history
        self._batches: AsyncIterator[Sequence[Message]] | None = None
        self.heard = asyncio.Event()
        """Set whenever there was something new."""

    async def catch_up(self) -> None:
        """Returns when everything said so far has been heard. Raises ``BusError`` where the broker does not give it."""
        for event in await self._history() if self._history else ():
            if isinstance(event, CONTROLS):
                self._listener.told(key_of(event), event)
            else:
                self._listener.hear(event)
        await self._tail.start()
        self._batches = self._tail.messages()
        try:
            while self._tail.lag() > 0:
                async with asyncio.timeout(READ_WITHIN):
                    self._take(await anext(self._batches))
        except TimeoutError:
            raise BusError(
                f"nothing came from {ALERTS.name} for {READ_WITHIN:g} s, and without it nobody is told"
            ) from None

    async def run(self) -> None:
        """Until cancelled; after ``catch_up``."""
        assert self._batches is not None
        async for batch in self._batches:
            self._take(batch)

    @property
    def behind(self) -> bool:
        """Whether there is more that we have not heard."""
        return self._tail.lag() > 0

    async def stop(self) -> None:
        await self._tail.stop()

    def _take(self, batch: Sequence[Message]) -> None:
        for message in batch:
            if message.topic == ALERTS.name:
                for said in read(message.value or b""):
                    self._listener.hear(said)
                continue
            key = (message.key or b"").decode(errors="replace")
            if not message.value:
                self._listener.told(key, None)
            for event in decided(message.value or b""):
                self._listener.told(key, event)
        self.heard.set()


_said: TypeAdapter[Said] = TypeAdapter(Annotated[Said, Field(discriminator="kind")])
_control: TypeAdapter[Control] = TypeAdapter(Annotated[Control, Field(discriminator="kind")])


def read(value: bytes) -> Iterator[Said]:
    """The events of one message of the alerts topic; a line that is none is passed over."""
    return _read(value, _said)


def decided(value: bytes) -> Iterator[Control]:
    """What one message of the control topic says; a line that says nothing known is passed over."""
    return _read(value, _control)


def _read(value: bytes, adapter: TypeAdapter[E]) -> Iterator[E]:
    for line in value.splitlines():
        try:
            yield adapter.validate_json(line)
        except ValueError as error:
            log.warning("an event cannot be read", extra={"reason": str(error)[:200]})
