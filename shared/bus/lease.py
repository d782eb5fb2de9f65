"""One of many: what only one member of a group may do, decided by the broker that already watches over groups.

The lease is the first partition of a topic, in a group that reads nothing through it. Kafka gives the partition to one
member, notices within ``session_timeout`` when that one is gone, and gives it to another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition, errors

from shared.bus import connection, refusals
from shared.bus.port import BusError
from shared.runtime.clock import Clock
from shared.runtime.retry import backoff
from shared.runtime.settings import KafkaSettings
from shared.schemas.topics import Topic

log = logging.getLogger(__name__)

SESSION_SECONDS = 6.0
"""The least that a Kafka broker allows unless it is told otherwise."""
SURE = 0.7
"""Of the session timeout: for so long after the broker last heard of us nobody else can have been given the lease."""

HandOver = Callable[[], Awaitable[None]]


class Lease:
    """``held`` is true in at most one of the processes that run this with the same ``group``.

    A process that was stopped, or cut off from the broker, for longer than its session loses the lease without a word;
    it sees so itself, because ``held`` asks how long ago the broker last said that we are a member.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: Topic,
        group: str,
        clock: Clock,
        *,
        session_timeout: float = SESSION_SECONDS,
        on_change: Callable[[bool], None] | None = None,
        hand_over: HandOver | None = None,
    ) -> None:
        """``hand_over`` is awaited before the lease goes to another while we live: what was begun may be finished.

        Raises ``BusError`` (permanent) on settings that cannot work.
        """
        self._settings = settings
        self._topic = topic
        self._place = TopicPartition(topic.name, 0)
        self._group = group
        self._clock = clock
        self._session_timeout = session_timeout
        self._on_change = on_change or (lambda _: None)
        self._hand_over = hand_over
        self._arguments = connection.arguments(settings, group)
        self._ours = False
        self._confirmed = float("-inf")
        self._began = clock.monotonic()

    @property
    def held(self) -> bool:
        return self._ours and self._clock.monotonic() - self._confirmed < SURE * self._session_timeout

    @property
    def unconfirmed(self) -> float:
        """Seconds since the broker last said that we are one of the group, whoever holds the lease."""
        return self._clock.monotonic() - max(self._confirmed, self._began)

    async def run(self) -> None:
        """Competes for the lease until cancelled, and then leaves it to others at once. Raises ``BusError`` where the
        group may not be joined at all.
        """
        delays = backoff(most=5.0)
        self._began = self._clock.monotonic()
        while True:
            consumer = self._consumer()
            try:
                await self._compete(consumer)
                delays = backoff(most=5.0)
                await self._stay(consumer)
            except refusals.OF_RIGHTS as error:
                raise refusals.may_not_consume(self._settings, error, [self._topic.name], self._group) from None
            except (errors.KafkaError, BusError, OSError, TimeoutError) as error:
                log.warning("cannot compete for the lease, trying again", extra={"reason": connection.words(error)})
            finally:
                self._set(False)
                with suppress(Exception):
                    await consumer.stop()
            await asyncio.sleep(next(delays))

    def _consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._arguments,
            group_id=self._group,
            enable_auto_commit=False,
            session_timeout_ms=round(self._session_timeout * 1000),
            heartbeat_interval_ms=round(self._session_timeout * 1000 / 4),
        )

    async def _compete(self, consumer: AIOKafkaConsumer) -> None:
        consumer.subscribe([self._topic.name], listener=_Listener(self, consumer))
        await consumer.start()

    async def _stay(self, consumer: AIOKafkaConsumer) -> None:
        """aiokafka tells its errors, and that we are alive, to those who ask for messages; there are none."""
        while True:
            await consumer.getmany(timeout_ms=1000)

    async def assigned(self, consumer: AIOKafkaConsumer, places: Collection[TopicPartition]) -> None:
        self._listen_for_heartbeats(consumer._coordinator)
        consumer.pause(*places)
        self._confirmed = self._clock.monotonic()
        self._set(self._place in places)

    def _listen_for_heartbeats(self, coordinator: Any) -> None:
        """aiokafka keeps to itself when the broker last knew us."""
        beat = coordinator._do_heartbeat
        if getattr(beat, "listened", False):
            return

        async def listened() -> bool:
            asked = self._clock.monotonic()
            known = bool(await beat())
            if known:
                self._confirmed = asked
            return known

        listened.listened = True  # type: ignore[attr-defined]
        coordinator._do_heartbeat = listened

    async def revoked(self) -> None:
        if self._ours and self._hand_over:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._session_timeout / 2):
                    await self._hand_over()
        self._set(False)

    def _set(self, ours: bool) -> None:
        if ours != self._ours:
            self._ours = ours
            self._on_change(ours)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, lease: Lease, consumer: AIOKafkaConsumer) -> None:
        self._lease = lease
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        await self._lease.revoked()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        await self._lease.assigned(self._consumer, assigned)
