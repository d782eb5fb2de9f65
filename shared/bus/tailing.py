"""Reading without a group by aiokafka: what ``shared.bus.port.Tail`` promises."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition, errors

from shared.bus import connection, refusals
from shared.bus.bell import bell_at
from shared.bus.fetching import fetch_when_rung
from shared.bus.port import BusError, Message
from shared.runtime.retry import backoff
from shared.runtime.settings import KafkaSettings
from shared.schemas.topics import Topic

log = logging.getLogger(__name__)

FETCH_WAIT_MS = 250
SILENT_SECONDS = 10
UNKNOWN_LAG = sys.maxsize


class KafkaTail:
    def __init__(self, settings: KafkaSettings, topics: Sequence[Topic], client_id: str, recent: int | None) -> None:
        self._settings = settings
        self._topics = [t.name for t in topics]
        self._arguments = connection.arguments(settings, client_id)
        self._recent = recent
        self._consumer: AIOKafkaConsumer | None = None
        self._next: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._placed = False
        self._trouble: str | None = "the bus has not been reached yet"
        self._silent = 0
        self._stopped = False

    async def start(self) -> None:
        """Tries the broker once, so that ``lag`` means something at once where it is there; ``messages`` goes on."""
        with suppress(BusError, TimeoutError, errors.KafkaError, OSError):
            async with asyncio.timeout(5.0):
                await self._connect()
                self._trouble = None

    async def messages(self) -> AsyncIterator[Sequence[Message]]:
        """Until ``stop``, through every outage; why there is nothing at the moment is ``trouble``."""
        delays = backoff()
        while not self._stopped:
            try:
                consumer = await self._connect()
                await self._follow_new_partitions(consumer)
                records = await consumer.getmany(timeout_ms=1000)
            except (BusError, errors.KafkaError, OSError, TimeoutError) as error:
                await self._failed(error)
            else:
                delays = backoff()
                batch = self._taken(consumer, records)
                if batch:
                    self._trouble, self._silent = None, 0
                    yield batch
                else:
                    await self._ask_why_nothing_comes()
                continue
            await asyncio.sleep(next(delays))

    def lag(self) -> int:
        """``UNKNOWN_LAG`` until the broker has been reached for the first time."""
        if not self._placed:
            return UNKNOWN_LAG
        return sum(max(0, end - self._next.get(tp, 0)) for tp, end in self._ends.items())

    def trouble(self) -> str | None:
        return self._trouble

    async def _failed(self, error: Exception) -> None:
        if isinstance(error, refusals.OF_RIGHTS):
            error = refusals.may_not_consume(self._settings, error, self._topics, "")
        self._trouble = connection.words(error)
        log.warning("cannot read from the bus, trying again", extra={"reason": self._trouble})
        await self._disconnect()

    async def _ask_why_nothing_comes(self) -> None:
        """aiokafka waits for a broker that went away without a word. It may also be that nobody says anything."""
        self._silent += 1
        if self._trouble or self._silent >= SILENT_SECONDS:
            self._silent = 0
            self._trouble = await connection.why_not(self._settings)

    async def stop(self) -> None:
        self._stopped = True
        await self._disconnect()

    async def _connect(self) -> AIOKafkaConsumer:
        if self._consumer is not None:
            return self._consumer
        consumer = AIOKafkaConsumer(
            **self._arguments,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_poll_records=5000,
        )
        try:
            await consumer.start()
            if bell := bell_at(self._settings.bootstrap_servers):
                fetch_when_rung(consumer, bell.ear(self._topics))
            await self._place(consumer)
        except BaseException as error:
            with suppress(Exception):
                await consumer.stop()
            if isinstance(error, errors.KafkaConnectionError):
                raise BusError(await connection.unreachable(self._settings)) from None
            raise
        self._consumer = consumer
        return consumer

    async def _place(self, consumer: AIOKafkaConsumer) -> None:
        """Follow every partition: from where this tail was, else from where it is to begin."""
        partitions = await self._partitions(consumer)
        ends = await consumer.end_offsets(partitions)
        begins = await consumer.beginning_offsets(partitions)
        consumer.assign(partitions)
        for tp in partitions:
            if tp not in self._next:
                # A partition that appears later is new: all of it.
                recent = None if self._placed else self._recent
                self._next[tp] = begins[tp] if recent is None else max(begins[tp], ends[tp] - recent)
            elif self._next[tp] > ends[tp]:
                self._next[tp] = begins[tp]  # another broker, or the topic was made anew
            self._ends[tp] = ends[tp]
            consumer.seek(tp, self._next[tp])
        self._placed = True

    async def _partitions(self, consumer: AIOKafkaConsumer) -> list[TopicPartition]:
        found: list[TopicPartition] = []
        for topic in self._topics:
            numbers = await consumer._client._wait_on_metadata(topic)
            found += [TopicPartition(topic, number) for number in sorted(numbers)]
        return found

    async def _follow_new_partitions(self, consumer: AIOKafkaConsumer) -> None:
        known = consumer.assignment()
        if any(
            TopicPartition(topic, number) not in known
            for topic in self._topics
            for number in consumer.partitions_for_topic(topic) or ()
        ):
            await self._place(consumer)

    def _taken(self, consumer: AIOKafkaConsumer, records: dict[TopicPartition, list[Any]]) -> list[Message]:
        batch: list[Message] = []
        for tp, found in records.items():
            batch += [
                Message(r.topic, r.partition, r.offset, r.key, r.value, r.timestamp, dict(r.headers)) for r in found
            ]
            self._next[tp] = found[-1].offset + 1
        for tp in self._ends:
            highwater = consumer.highwater(tp)
            if highwater is not None:  # lower than before where the topic was made anew
                self._ends[tp] = highwater
        return batch

    async def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with suppress(Exception):
                async with asyncio.timeout(2.0):
                    await consumer.stop()
