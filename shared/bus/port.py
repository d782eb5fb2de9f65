"""The bus: what the services need of a log of messages, and what they may rely on.

One driver: ``shared.bus.kafka`` (aiokafka). Which broker it reaches is a setting.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shared.schemas.topics import Topic


class BusError(RuntimeError):
    """The bus refused or could not be reached. ``permanent`` answers: again, or never?"""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


@dataclass(frozen=True)
class Message:
    """``timestamp_ms`` is the producer's; ``value`` is None for a compacted key's tombstone."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Receipt:
    """Where the broker keeps a message."""

    topic: str
    partition: int
    offset: int


Stored = Callable[[Receipt], bool]
"""Whether ingest has made a message durable. Who publishes to a broker that forgets (``embedded://``) is given one, and
must not let go of a message before it says so.
"""

Read = Callable[[Receipt], bool]
"""Whether ingest has a message in its hands. A broker that forgets cuts off what is older than its last 5 MB of a
partition, read or not: who publishes much must not run further ahead than that.
"""


Hasten = Callable[[], None]
"""Asks ingest to store what it has in its hands, without collecting more: somebody waits for an answer."""


class Publisher(Protocol):
    async def start(self) -> None:
        """Returns at once; reaching the broker is ``publish``'s business, so that an agent starts without one."""
        ...

    async def publish(
        self, topic: Topic, key: str, value: bytes | None, headers: Mapping[str, bytes] | None = None
    ) -> Receipt:
        """A normal return guarantees that the broker has the message (acks=all, idempotent), in order per key.

        Raises ``BusError``: temporary (broker away: the caller keeps the message and tries again) or permanent
        (too large, not authorised). It does not wait longer than ``timeout`` of its construction.
        """
        ...

    async def stop(self) -> None: ...


class Tail(Protocol):
    """Reads every message of some topics from a place on, without a group: each replica sees everything."""

    async def start(self) -> None: ...

    def messages(self) -> AsyncIterator[Sequence[Message]]:
        """Batches as they come, in order per partition; survives a broker that goes away and returns."""
        ...

    def lag(self) -> int:
        """Messages the broker has that this tail has not yet handed out."""
        ...

    def trouble(self) -> str | None:
        """Why nothing can be read now, in one sentence; ``None`` while it can. Known some seconds late."""
        ...

    async def stop(self) -> None: ...


class Admin(Protocol):
    async def create(self, topics: Sequence[Topic]) -> None:
        """All topics exist afterwards, with partitions and retention as set where the broker can; may be repeated."""
        ...
