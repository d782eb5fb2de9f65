"""Publishing by aiokafka: what ``shared.bus.port.Publisher`` promises."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from aiokafka import AIOKafkaProducer, errors

from shared.bus import connection, refusals
from shared.bus.bell import bell_at
from shared.bus.port import BusError, Receipt
from shared.runtime.settings import KafkaSettings
from shared.schemas.topics import Topic

MAX_MESSAGE_BYTES = 1 << 20

_NEVER = (
    errors.MessageSizeTooLargeError,
    errors.RecordListTooLargeError,
    *refusals.OF_TOPICS,
    errors.InvalidTopicError,
    errors.UnsupportedVersionError,
)


class KafkaPublisher:
    def __init__(self, settings: KafkaSettings, client_id: str, timeout: float = 10.0) -> None:
        """``timeout``: most seconds a ``publish`` takes.

        Raises ``BusError`` (permanent) on settings that cannot work.
        """
        self._settings = settings
        self._timeout = timeout
        self._arguments = connection.arguments(settings, client_id)
        self._bell = bell_at(settings.bootstrap_servers)
        self._producer: AIOKafkaProducer | None = None
        self._in_turn = asyncio.Lock()  # who asked first is first in the partition
        self._leaving: set[asyncio.Task[None]] = set()
        self._stopped = False

    async def start(self) -> None:
        self._stopped = False

    async def publish(
        self, topic: Topic, key: str, value: bytes | None, headers: Mapping[str, bytes] | None = None
    ) -> Receipt:
        """See ``Publisher.publish``. Rings for who reads from a broker inside this process."""
        producer: AIOKafkaProducer | None = None
        try:
            async with asyncio.timeout(self._timeout):
                async with self._in_turn:
                    producer = await self._connected()
                    sent = await producer.send(
                        topic.name, value, key=key.encode(), headers=list((headers or {}).items())
                    )
                kept = await sent
            if self._bell:
                self._bell.ring(topic.name)
            return Receipt(kept.topic, kept.partition, kept.offset)
        except BusError:
            raise
        except _NEVER as error:
            raise self._refusal(error, topic) from None
        except TimeoutError:
            self._abandon(producer)
            raise BusError(f"the broker did not confirm within {self._timeout:g} s ({topic.name})") from None
        except errors.UnknownTopicOrPartitionError:
            raise BusError(f"the broker has no topic {topic.name}: create it with `lapwing topics`") from None
        except (errors.KafkaError, OSError) as error:
            self._abandon(producer)
            raise BusError(f"the broker did not take a message for {topic.name}: {connection.words(error)}") from None

    async def stop(self) -> None:
        self._stopped = True
        self._abandon(self._producer)
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=1.0)

    async def _connected(self) -> AIOKafkaProducer:
        if self._stopped:
            raise BusError("this publisher was stopped")
        if self._producer is None:
            producer = AIOKafkaProducer(
                **self._arguments,
                acks="all",
                enable_idempotence=True,
                compression_type="zstd",
                max_request_size=MAX_MESSAGE_BYTES,
                max_batch_size=MAX_MESSAGE_BYTES // 4,
                request_timeout_ms=max(1000, int(self._timeout * 1000)),
            )
            try:
                await producer.start()
            except BaseException as error:
                self._close_soon(producer)
                if isinstance(error, errors.KafkaConnectionError):
                    raise BusError(await connection.unreachable(self._settings)) from None
                raise
            self._producer = producer
        return self._producer

    def _refusal(self, error: errors.KafkaError, topic: Topic) -> BusError:
        if isinstance(error, refusals.OF_TOPICS):
            return refusals.may_not_write(self._settings, topic.name)
        if isinstance(error, errors.MessageSizeTooLargeError | errors.RecordListTooLargeError):
            what = f"the message is too large for {topic.name} (at most {MAX_MESSAGE_BYTES} bytes)"
        else:
            what = f"the broker will not take messages for {topic.name}: {connection.words(error)}"
        return BusError(what, permanent=True)

    def _abandon(self, producer: AIOKafkaProducer | None) -> None:
        """Let go of a producer that may be stuck; the next ``publish`` makes a new one.

        An idempotent aiokafka producer retries for ever, so what its caller has given up and sends again would
        pile up in it.
        """
        if producer is not None and producer is self._producer:
            self._producer = None
            self._close_soon(producer)

    def _close_soon(self, producer: AIOKafkaProducer) -> None:
        task = asyncio.create_task(_close(producer))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


async def _close(producer: AIOKafkaProducer) -> None:
    """Close without the flush of ``AIOKafkaProducer.stop``, which waits for as long as the broker is away."""
    producer._closed = True
    sender = producer._sender.sender_task
    if sender is not None:
        sender.cancel()
    with suppress(Exception):
        await producer.client.close()
    if sender is not None:
        # It waits for requests in flight, which end now that their connections are closed.
        await asyncio.wait({sender}, timeout=5.0)
        if sender.done() and not sender.cancelled():
            sender.exception()
        with suppress(Exception):
            await producer.client.close()
