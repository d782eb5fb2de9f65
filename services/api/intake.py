"""What agents post, on its way to the bus: let go of only once the broker, or the store behind it, has it."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from services.api import messages
from services.api.buckets import Buckets
from services.api.errors import ApiError, unavailable
from services.api.posted import Outgoing, Sorter
from shared.bus.port import BusError, Hasten, Publisher, Read, Receipt, Stored
from shared.runtime.settings import Settings
from shared.schemas.topics import SPOOLED_HEADER

log = logging.getLogger(__name__)

STORED_WITHIN = 15.0  # seconds an answer waits for the store
LOOK_AGAIN = 0.05
HASTEN_EVERY = 1.0  # seconds; every insert has its price, and an agent waits two for an answer
MOST_UNREAD = 1 << 20  # bytes; with what the agent beside us has underway, less than a broker that forgets keeps
READ_AGAIN = 0.005
BODIES_AT_ONCE = 2  # of the largest size, in memory
RETRY_AFTER = 2
REFUSED_RETRY_AFTER = 30


class Intake:
    """Without a publisher it answers that the bus is away."""

    def __init__(self, settings: Settings) -> None:
        self.sorter = Sorter(settings)
        self.buckets = Buckets(settings.api.ingest_events_per_second)
        self.room = Room(BODIES_AT_ONCE * settings.api.ingest_max_bytes)
        self._publisher: Publisher | None = None
        self._stored: Stored | None = None
        self._stored_within = STORED_WITHIN
        self._unread = Unread(None)
        self._read: Read | None = None
        self._hasten: Hasten | None = None
        self._hastened_at = 0.0

    def open(
        self,
        publisher: Publisher,
        stored: Stored | None = None,
        read: Read | None = None,
        hasten: Hasten | None = None,
        *,
        stored_within: float = STORED_WITHIN,
    ) -> None:
        """With ``stored``, the broker forgets: its word alone is not enough, nor may it be given more than it keeps
        before ``read`` says that it was read. ``hasten`` is called while an answer waits for what was read.
        """
        self._read, self._hasten = read, hasten
        self._publisher, self._stored, self._stored_within = publisher, stored, stored_within
        self._unread = Unread(read)

    async def publish(self, outgoing: Sequence[Outgoing], *, spooled: bool) -> None:
        """A normal return guarantees that the broker has every message (and, with ``stored``, the store).

        Raises ``ApiError`` 503 otherwise; some of the messages may have been published then, and publishing them
        again is harmless.
        """
        headers = {SPOOLED_HEADER: b"1"} if spooled else None
        by_host: dict[tuple[str, str], list[Outgoing]] = defaultdict(list)
        for message in outgoing:
            by_host[message.topic.name, message.host_id].append(message)
        work = [self._in_order(ours, headers) for ours in by_host.values()]
        outcomes = await asyncio.gather(*work, return_exceptions=True)
        receipts: list[Receipt] = []
        for outcome in outcomes:
            if isinstance(outcome, BusError):
                raise _away(outcome)
            if isinstance(outcome, BaseException):
                raise outcome
            receipts += outcome
        await self._until_stored(receipts)

    async def _in_order(self, outgoing: Sequence[Outgoing], headers: Mapping[str, bytes] | None) -> list[Receipt]:
        if self._publisher is None:
            raise BusError("the API is starting")
        receipts: list[Receipt] = []
        for message in outgoing:
            await self._unread.room(len(message.value), self._stored_within)
            receipt: Receipt | None = None
            try:
                receipt = await self._publisher.publish(message.topic, message.host_id, message.value, headers)
            finally:
                self._unread.published(receipt, len(message.value))
            receipts.append(receipt)
        return receipts

    async def _until_stored(self, receipts: Sequence[Receipt]) -> None:
        if self._stored is None:
            return
        stored = self._stored
        loop = asyncio.get_running_loop()
        until = loop.time() + self._stored_within
        waiting = [r for r in receipts if not stored(r)]
        while waiting:
            if loop.time() >= until:
                raise unavailable(messages.NOT_STORED_YET, RETRY_AFTER)
            await asyncio.sleep(LOOK_AGAIN)
            self._ask_for(waiting, loop.time())
            waiting = [r for r in waiting if not stored(r)]

    def _ask_for(self, waiting: Sequence[Receipt], now: float) -> None:
        """The store collects events for some seconds, and so do many who post: once for all of them."""
        if self._read is None or self._hasten is None or now < self._hastened_at + HASTEN_EVERY:
            return
        if all(map(self._read, waiting)):
            self._hastened_at = now
            self._hasten()


class Unread:
    """Bytes that were published and not read yet. Without ``read`` the broker keeps everything, and there is room."""

    def __init__(self, read: Read | None) -> None:
        self._read = read
        self._bytes = 0
        self._messages: deque[tuple[Receipt, int]] = deque()

    async def room(self, size: int, within: float) -> None:
        """Takes ``size`` bytes when there is room; raises ``ApiError`` 503 after ``within`` seconds without."""
        if self._read is not None:
            loop = asyncio.get_running_loop()
            until = loop.time() + within
            while self._bytes and self._bytes + size > MOST_UNREAD:
                if loop.time() >= until:
                    raise unavailable(messages.NOT_STORED_YET, RETRY_AFTER)
                await asyncio.sleep(READ_AGAIN)
                self._look(self._read)
            self._bytes += size

    def published(self, receipt: Receipt | None, size: int) -> None:
        """What room was taken for, or ``None`` where the broker did not take it."""
        if self._read is None:
            return
        if receipt is None:
            self._bytes -= size
        else:
            self._messages.append((receipt, size))

    def _look(self, read: Read) -> None:
        left = deque(entry for entry in self._messages if not read(entry[0]))
        self._bytes -= sum(size for _, size in self._messages) - sum(size for _, size in left)
        self._messages = left


class Room:
    """How many bytes of bodies may be in memory together."""

    def __init__(self, most: int) -> None:
        self._left = most

    @contextmanager
    def held(self) -> Iterator[Held]:
        held = Held(self)
        try:
            yield held
        finally:
            held.grow_to(0)

    def take(self, size: int) -> None:
        """Raises ``ApiError`` 503 where there is no more room."""
        if size > self._left:
            raise unavailable(messages.BUSY, RETRY_AFTER)
        self._left -= size


class Held:
    def __init__(self, room: Room) -> None:
        self._room = room
        self._size = 0

    def grow_to(self, size: int) -> None:
        self._room.take(size - self._size)
        self._size = size


def _away(error: BusError) -> ApiError:
    log.warning("posted events could not be published", extra={"reason": str(error)})
    return unavailable(messages.BUS_AWAY, REFUSED_RETRY_AFTER if error.permanent else RETRY_AFTER)
