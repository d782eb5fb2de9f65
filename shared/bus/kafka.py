"""The bus on the Kafka protocol, by aiokafka: publisher, tail, admin. For consumer groups see ``shared.bus.stream``."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition, errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.bus import connection
from shared.bus.port import Admin, BusError, Message, Publisher, Tail
from shared.runtime.retry import backoff
from shared.runtime.settings import KafkaSettings
from shared.schemas.topics import ANOMALIES, LOGS, METRICS, Topic

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 1 << 20
FETCH_WAIT_MS = 250
UNKNOWN_LAG = sys.maxsize

_NEVER = (
    errors.MessageSizeTooLargeError,
    errors.RecordListTooLargeError,
    errors.TopicAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
    errors.InvalidTopicError,
    errors.UnsupportedVersionError,
)


def publisher(settings: KafkaSettings, client_id: str, *, timeout: float = 10.0) -> Publisher:
    """``timeout``: most seconds a ``publish`` takes. Raises ``BusError`` (permanent) on settings that cannot work."""
    return _Publisher(settings, client_id, timeout)


def tail(settings: KafkaSettings, topics: Sequence[Topic], client_id: str, *, recent: int | None = None) -> Tail:
    """``recent``: start at the last so many messages of each partition (0: only what comes); ``None``: the first.

    Raises ``BusError`` (permanent) on settings that cannot work.
    """
    return _Tail(settings, topics, client_id, recent)


def admin(settings: KafkaSettings, *, timeout: float = 15.0) -> Admin:
    """``timeout``: most seconds a call takes. Raises ``BusError`` (permanent) on settings that cannot work."""
    return _Admin(settings, timeout)


class _Publisher:
    def __init__(self, settings: KafkaSettings, client_id: str, timeout: float) -> None:
        self._settings = settings
        self._timeout = timeout
        self._arguments = connection.arguments(settings, client_id)
        self._producer: AIOKafkaProducer | None = None
        self._in_turn = asyncio.Lock()  # who asked first is first in the partition
        self._leaving: set[asyncio.Task[None]] = set()
        self._stopped = False

    async def start(self) -> None:
        self._stopped = False

    async def publish(
        self, topic: Topic, key: str, value: bytes | None, headers: Mapping[str, bytes] | None = None
    ) -> None:
        producer: AIOKafkaProducer | None = None
        try:
            async with asyncio.timeout(self._timeout):
                async with self._in_turn:
                    producer = await self._connected()
                    sent = await producer.send(
                        topic.name, value, key=key.encode(), headers=list((headers or {}).items())
                    )
                await sent
        except BusError:
            raise
        except _NEVER as error:
            raise BusError(_refusal(error, topic), permanent=True) from None
        except TimeoutError:
            self._abandon(producer)
            raise BusError(f"the broker did not confirm within {self._timeout:g} s ({topic.name})") from None
        except errors.UnknownTopicOrPartitionError:
            raise BusError(f"the broker has no topic {topic.name}: create it with `lapwing topics`") from None
        except (errors.KafkaError, OSError) as error:
            self._abandon(producer)
            raise BusError(f"the broker did not take a message for {topic.name}: {_words(error)}") from None

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
                    raise BusError(await _unreachable(self._settings)) from None
                raise
            self._producer = producer
        return self._producer

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


class _Tail:
    def __init__(self, settings: KafkaSettings, topics: Sequence[Topic], client_id: str, recent: int | None) -> None:
        self._settings = settings
        self._topics = [t.name for t in topics]
        self._arguments = connection.arguments(settings, client_id)
        self._recent = recent
        self._consumer: AIOKafkaConsumer | None = None
        self._next: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._placed = False
        self._stopped = False

    async def start(self) -> None:
        """Tries the broker once, so that ``lag`` means something at once where it is there; ``messages`` goes on."""
        with suppress(BusError, TimeoutError, errors.KafkaError, OSError):
            async with asyncio.timeout(5.0):
                await self._connect()

    async def messages(self) -> AsyncIterator[Sequence[Message]]:
        delays = backoff()
        while not self._stopped:
            try:
                consumer = await self._connect()
                await self._follow_new_partitions(consumer)
                records = await consumer.getmany(timeout_ms=1000)
            except BusError as error:
                log.warning("cannot read from the bus, trying again", extra={"reason": str(error)})
            except (errors.KafkaError, OSError, TimeoutError) as error:
                log.warning("reading from the bus failed, trying again", extra={"reason": _words(error)})
                await self._disconnect()
            else:
                delays = backoff()
                batch = self._taken(consumer, records)
                if batch:
                    yield batch
                continue
            await asyncio.sleep(next(delays))

    def lag(self) -> int:
        """``UNKNOWN_LAG`` until the broker has been reached for the first time."""
        if not self._placed:
            return UNKNOWN_LAG
        return sum(max(0, end - self._next.get(tp, 0)) for tp, end in self._ends.items())

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
            await self._place(consumer)
        except BaseException as error:
            with suppress(Exception):
                await consumer.stop()
            if isinstance(error, errors.KafkaConnectionError):
                raise BusError(await _unreachable(self._settings)) from None
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
            self._ends[tp] = max(consumer.highwater(tp) or 0, self._ends[tp])
        return batch

    async def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with suppress(Exception):
                async with asyncio.timeout(2.0):
                    await consumer.stop()


class _Admin:
    def __init__(self, settings: KafkaSettings, timeout: float) -> None:
        self._settings = settings
        self._timeout = timeout
        self._arguments = connection.arguments(settings, "lapwing-admin")
        self._arguments.pop("metadata_max_age_ms")

    async def create(self, topics: Sequence[Topic]) -> None:
        """A topic that exists is left as it is: its partitions and retention are its operator's business."""
        client: AIOKafkaAdminClient | None = None
        try:
            async with asyncio.timeout(self._timeout):
                client = AIOKafkaAdminClient(**self._arguments, request_timeout_ms=int(self._timeout * 1000))
                await client.start()
                there = set(await client.list_topics())
                missing = [t for t in topics if t.name not in there]
                if missing:
                    await self._create(client, missing)
        except TimeoutError:
            raise BusError(f"the broker did not create the topics within {self._timeout:g} s") from None
        except errors.KafkaConnectionError:
            raise BusError(await _unreachable(self._settings)) from None
        except (errors.KafkaError, OSError) as error:
            raise BusError(f"the broker did not create the topics: {_words(error)}") from None
        finally:
            if client is not None:
                with suppress(Exception):
                    await client.close()

    async def _create(self, client: AIOKafkaAdminClient, topics: Sequence[Topic]) -> None:
        names = ", ".join(t.name for t in topics)
        try:
            answer = await client.create_topics([self._wanted(t) for t in topics])
        except (errors.IncompatibleBrokerVersion, errors.UnsupportedVersionError):
            raise BusError(f"this broker cannot create topics, and {names} is missing", permanent=True) from None
        for name, code, *rest in answer.topic_errors:
            error = errors.for_code(code)
            if error not in (errors.NoError, errors.TopicAlreadyExistsError):
                if error in (errors.TopicAuthorizationFailedError, errors.ClusterAuthorizationFailedError):
                    raise BusError(f"this user may not create {name}: grant it CREATE there", permanent=True)
                raise BusError(
                    f"the broker refused to create {name}: {_words(error(*rest))}",
                    permanent=error in (*_NEVER, errors.InvalidReplicationFactorError, errors.PolicyViolationError),
                )
        log.info("topics created", extra={"topics": names})

    def _wanted(self, topic: Topic) -> NewTopic:
        return NewTopic(
            topic.name,
            self._settings.partitions,
            self._settings.replication_factor,
            topic_configs={name: str(value) for name, value in self._configuration(topic).items()},
        )

    def _configuration(self, topic: Topic) -> dict[str, str | int]:
        if topic.compacted:
            return {"cleanup.policy": "compact"}
        if topic in (METRICS, LOGS, ANOMALIES):
            return {
                "cleanup.policy": "delete",
                "retention.ms": self._settings.retention_hours * 3_600_000,
                "retention.bytes": self._settings.retention_bytes,
            }
        return {
            "cleanup.policy": "delete",
            "retention.ms": topic.retention_ms,
            "retention.bytes": topic.retention_bytes,
        }


async def _unreachable(settings: KafkaSettings) -> str:
    reason = await connection.why_not(settings)
    return reason or (
        f"the broker at {settings.bootstrap_servers} accepts connections but does not answer as it should: "
        f"is LAPWING_KAFKA__SECURITY_PROTOCOL ({settings.security_protocol}) what it speaks there?"
    )


def _refusal(error: errors.KafkaError, topic: Topic) -> str:
    if isinstance(error, errors.MessageSizeTooLargeError | errors.RecordListTooLargeError):
        return f"the message is too large for {topic.name} (at most {MAX_MESSAGE_BYTES} bytes)"
    if isinstance(error, errors.TopicAuthorizationFailedError | errors.ClusterAuthorizationFailedError):
        return f"this user may not write to {topic.name}: grant it WRITE there"
    return f"the broker will not take messages for {topic.name}: {_words(error)}"


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
