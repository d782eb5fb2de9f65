"""A stretch of one partition, read once and without a group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, TopicPartition, errors

from shared.bus import connection, refusals
from shared.bus.port import BusError, Message
from shared.runtime.settings import KafkaSettings
from shared.schemas.topics import Topic

PATIENCE = 30.0
"""Seconds without a single message after which the broker is taken to be away."""


async def span(
    settings: KafkaSettings, topic: Topic, partition: int, first: int, end: int | None, client_id: str
) -> AsyncIterator[Sequence[Message]]:
    """The messages from offset ``first`` (or the oldest that is kept) to before ``end`` (``None``: all there are now).
    Nothing where the topic has no such partition. Raises ``BusError``.
    """
    consumer = AIOKafkaConsumer(
        **connection.arguments(settings, client_id),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=1000,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            await consumer.start()
            if partition not in await consumer._client._wait_on_metadata(topic.name):
                return
            at = TopicPartition(topic.name, partition)
            begins = (await consumer.beginning_offsets([at]))[at]
            ends = (await consumer.end_offsets([at]))[at]
        reached, end = max(first, begins), ends if end is None else min(end, ends)
        consumer.assign([at])
        if reached < end:
            consumer.seek(at, reached)
        while reached < end:
            async with asyncio.timeout(PATIENCE):
                records = (await consumer.getmany(at, timeout_ms=1000)).get(at, ())
            reached = max(reached, await consumer.position(at))
            batch = [
                Message(r.topic, r.partition, r.offset, r.key, r.value, r.timestamp, dict(r.headers))
                for r in records
                if r.offset < end
            ]
            if batch:
                yield batch
    except refusals.OF_RIGHTS as error:
        raise refusals.may_not_consume(settings, error, [topic.name], "") from None
    except errors.KafkaConnectionError:
        raise BusError(await connection.unreachable(settings)) from None
    except (errors.KafkaError, OSError, TimeoutError) as error:
        raise BusError(connection.words(error)) from error
    finally:
        with suppress(Exception):
            async with asyncio.timeout(2.0):
                await consumer.stop()
