"""Consumer groups, by Faust: the one place that knows it, and the settings it needs to keep our promises.

A processor reads topics in batches, and a message counts as read only when the handler of its batch has returned:
at least once, never lost. Each service has an app, and so a group, of its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import faust
from aiokafka import TopicPartition
from aiokafka.partitioner import murmur2
from mode import CrashingSupervisor

from shared.bus import connection, narration, refusals
from shared.bus.port import BusError, Message, Receipt
from shared.bus.progress import Progress
from shared.bus.topic_ids import topic_ids
from shared.bus.tuned_faust import App
from shared.runtime import selfmetrics
from shared.runtime.retry import backoff
from shared.runtime.settings import KafkaSettings, Settings
from shared.schemas.topics import Topic

log = logging.getLogger(__name__)

HASTY_BATCHES = 3
HASTY_SECONDS = 0.5

Handle = Callable[[Sequence[Message]], Awaitable[None]]

START_WITHIN = 60.0  # a broker's first group took more than 30 where everything started at once
STOP_WITHIN = 2.0
DRAIN_WITHIN = 1.5
COMMIT_SECONDS = 2.0
LOOK_EVERY = 15.0
LOOK_WITHIN = 15.0
STALLED_AFTER = 120.0
METADATA_SECONDS = 30.0


def stream_app(settings: Settings, name: str, *, session_timeout: float = 10.0) -> App:
    """An app of the group ``lapwing-<name>``. Raises ``BusError`` (permanent) on settings that cannot work.

    ``session_timeout``: seconds after which the broker gives the partitions of a silent member to another.
    """
    narration.calm()
    kafka = settings.kafka
    app = App(
        f"lapwing-{name}",
        broker=";".join(f"kafka://{address}" for address in kafka.bootstrap_servers.split(",")),
        broker_credentials=_credentials(kafka),
        broker_client_id=f"lapwing-{name}",
        datadir=str(settings.data_dir / "faust" / name),
        store="memory://",
        autodiscover=False,
        loghandlers=[],
        agent_supervisor=CrashingSupervisor,
        consumer_auto_offset_reset="earliest",
        key_serializer="raw",
        value_serializer="raw",
        # Faust's own web server shows everything to everybody.
        web_enabled=False,
        # Stopping must not wait for events whose handler is retrying: they stay unacknowledged and come again.
        stream_wait_empty=False,
        # Topics are made by `lapwing topics`, with the retention they need; the embedded broker cannot make any.
        topic_allow_declare=False,
        topic_disable_leader=True,
        # A batch may wait for a store that is away for hours; exceeding this stalls the consumer for good.
        broker_max_poll_interval=86_400.0,
        broker_session_timeout=session_timeout,
        broker_heartbeat_interval=session_timeout * 0.3,
        broker_commit_interval=COMMIT_SECONDS,
        # A topic deleted and made anew is missed, and found again, this often; 5 minutes in Faust.
        consumer_metadata_max_age_ms=round(METADATA_SECONDS * 1000),
    )
    app.kafka = kafka
    app.reads = set()
    app.topic_ids = {}
    app.made_anew = set()
    app.progress = Progress(STALLED_AFTER)
    app.hurry = asyncio.Event()
    return app


def batches(
    app: App,
    topics: Sequence[Topic],
    size: int,
    seconds: float,
    handle: Handle,
    *,
    ahead: bool = False,
) -> None:
    """Let ``handle`` process the messages of ``topics``: at most ``size`` at once, each within about ``seconds``
    (the first few sooner).

    A message is acknowledged after ``handle`` returned with it, never before. While ``handle`` raises a temporary
    error (one that says ``permanent = False``, an ``OSError`` or a ``TimeoutError``) it is called again with the same
    batch, for ever, with growing pauses; any other error ends the service, the batch unacknowledged.

    ``ahead``: the next batch is taken off Faust while ``handle``, called with one at a time all the same, waits
    for others' work. Not for a handler that must never see a message of a partition that has just been taken away.
    """
    # Half of the wait is for the broker to answer, half for the batch to fill; but ten questions a second are enough.
    app.fetch_wait_ms = min(app.fetch_wait_ms, max(100, round(seconds * 500)))

    async def process(stream: Any) -> None:
        _wait_for_the_first(stream, app.hurry)
        room, turn = asyncio.Semaphore(1 if ahead else 0), asyncio.Lock()

        async def in_turn(events: Sequence[Any]) -> None:
            async with turn:
                batch = [_message(event.message) for event in events]
                handled = False
                app.progress.begun(batch)
                try:
                    await _until_handled(handle, batch)
                    handled = True
                finally:
                    app.progress.finished(batch, handled=handled)
                for event in events:
                    await stream.ack(event)
            room.release()

        try:
            async with asyncio.TaskGroup() as under_way:
                within = max(seconds / 2, seconds - app.fetch_wait_ms / 1000)
                async for events in stream.noack_take(size, within=within):
                    under_way.create_task(in_turn(events), name=f"batch of {app.conf.id}")
                    await room.acquire()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    app.reads |= {t.name for t in topics}
    channel = app.topic(*(t.name for t in topics), key_type=bytes, value_type=bytes)
    app.agent(channel, name=f"{app.conf.id}.{'.'.join(t.name for t in topics)}")(process)


def _wait_for_the_first(stream: Any, hurry: asyncio.Event) -> None:
    """``noack_take`` looks for events every so often; let it sleep while there are none. Right after a start somebody
    is watching, so the first few batches do not wait until they are full; nor does any when ``hurry`` is set.
    """
    arrived = asyncio.Event()
    wait_for_stopped = stream.wait_for_stopped
    hasty = HASTY_BATCHES

    async def note(value: Any) -> Any:
        arrived.set()
        return value

    async def wait(*waitables: Any, timeout: float) -> Any:
        nonlocal hasty
        # Cleared first: what arrives from here on is either taken after this wait or wakes the next one.
        await arrived.wait()
        arrived.clear()
        if hasty:
            hasty -= 1
            timeout = min(timeout, HASTY_SECONDS)
        waiting = asyncio.ensure_future(wait_for_stopped(*waitables, timeout=timeout))
        hurried = asyncio.ensure_future(hurry.wait())
        try:
            await asyncio.wait({waiting, hurried}, return_when=asyncio.FIRST_COMPLETED)
            return waiting.result() if waiting.done() else False
        finally:
            waiting.cancel()
            hurried.cancel()

    stream.add_processor(note)
    stream.wait_for_stopped = wait


class StreamService:
    """Runs an app on the current event loop, without Faust's worker: it takes no signals and no logging."""

    def __init__(self, name: str, app: App) -> None:
        self.name = name
        self._app = app
        self._assigned = asyncio.Event()
        self._told: set[str] = set()
        app.on_partitions_assigned.connect(self._on_assigned)

    async def start(self) -> None:
        """Returns when the group has formed and partitions are assigned (none, where there are more members than
        partitions), so that nothing published from then on waits for it.

        Raises ``BusError`` where the broker cannot be reached or the group does not form in ``START_WITHIN`` seconds.
        """
        # Asked first, because a consumer that cannot connect dies loudly in a thread of its own.
        if reason := await connection.why_not(self._app.kafka):
            raise BusError(reason)
        starting = asyncio.create_task(self._app.maybe_start())
        try:
            async with asyncio.timeout(START_WITHIN):
                # Faust tells of a crash to those who ask only, and of a refusal to nobody.
                while not self._has_started(starting):
                    self._raise_if_refused()
                    await asyncio.sleep(0.02)
                await starting
            self._raise_if_refused()
        except TimeoutError:
            raise BusError(
                f"the broker gave {self.name} no partitions within {START_WITHIN:g} s: are its topics there?"
            ) from None
        finally:
            if not starting.done():
                starting.cancel()
        if self._app.crashed:
            raise self._crash()

    def _has_started(self, starting: asyncio.Task[Any]) -> bool:
        return starting.done() and bool(starting.exception() or self._assigned.is_set() or self._app.crashed)

    async def watch(self) -> None:
        """Also ends when the group stands still, which Faust may do without a word: better to be started anew."""
        stopped = asyncio.create_task(self._app.wait_until_stopped())
        try:
            while not stopped.done():
                await asyncio.wait({stopped}, timeout=LOOK_EVERY)
                if not stopped.done():
                    self._raise_if_refused()
                    await self._look()
            if self._app.crashed:
                raise self._crash()
        finally:
            stopped.cancel()

    def lag(self) -> int:
        """Messages no handler has finished with, of those the broker had at the last look (``LOOK_EVERY``) or fetch."""
        if self._assigned.is_set():
            consumer = self._app.consumer
            self._measured({tp: consumer.highwater(tp) for tp in consumer.assignment()})
        return self._app.progress.lag()

    def partitions(self, topic: Topic) -> set[int]:
        """Of ``topic``, those that this member of the group reads now."""
        if not self._assigned.is_set():
            return set()
        return {tp.partition for tp in self._app.consumer.assignment() if tp.topic == topic.name}

    def owns(self, topic: Topic, key: str) -> bool:
        """Whether this member of the group reads the partition that messages of ``key`` go to."""
        if not self._assigned.is_set():
            return False
        ours = self.partitions(topic)
        every = self._app.consumer._thread._ensure_consumer().partitions_for_topic(topic.name) or ()
        return bool(ours) and _place(key) % max(1, len(every)) in ours

    def handled(self, receipt: Receipt) -> bool:
        """Whether a handler has returned with this message; it is then as durable as the handler makes it."""
        return self._app.progress.handled((receipt.topic, receipt.partition), receipt.offset)

    def read(self, receipt: Receipt) -> bool:
        """Whether this message has come from the broker."""
        if not self._assigned.is_set():
            return False
        reached = self._app.consumer._read_offset.get(TopicPartition(receipt.topic, receipt.partition))
        return reached is not None and reached >= receipt.offset

    def hasten(self) -> None:
        """Gives the handlers what they have collected so far: somebody waits for it."""
        if not self._app.hurry.is_set():
            self._app.hurry.set()
            self._app.hurry.clear()

    async def _look(self) -> None:
        consumer, progress = self._app.consumer, self._app.progress
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(LOOK_WITHIN):
                reached = self._reached()  # before the answer, which may be older than what is read meanwhile
                ends = await consumer.highwaters(*consumer.assignment())
                if anew := await self._made_anew(ends, reached):
                    self._begin_again(anew)
                else:
                    self._measured(ends)
                    progress.committed(await self._committed(), now)
        except Exception as error:
            log.debug("the ends of the partitions are not known", extra={"reason": repr(error)})
        self._tell()
        stalled, uncommitted = progress.stalled(now), progress.uncommitted(now)
        if stalled or uncommitted:
            if await connection.why_not(self._app.kafka):
                progress.excused()
                return
            raise BusError(
                f"{self.name} has stood still for {STALLED_AFTER:g} s with {progress.lag()} messages to read"
                if stalled
                else f"{self.name} has committed nothing for {STALLED_AFTER:g} s with {uncommitted} messages handled"
            )

    async def _committed(self) -> dict[tuple[str, int], int]:
        """As the broker has it: Faust takes its own word for a commit, also for one that was refused."""
        thread = self._app.consumer._thread
        coordinator = thread._ensure_consumer()._coordinator
        partitions = list(self._app.consumer.assignment())
        found = await thread.call_thread(coordinator.fetch_committed_offsets, partitions)
        return {(tp.topic, tp.partition): found[tp].offset if tp in found else 0 for tp in partitions}

    def _reached(self) -> dict[Any, int]:
        """How far each partition has been read."""
        consumer, progress = self._app.consumer, self._app.progress
        return {
            tp: max(consumer._read_offset.get(tp) or 0, progress.reached((tp.topic, tp.partition)))
            for tp in consumer.assignment()
        }

    async def _made_anew(self, ends: Mapping[Any, int | None], reached: Mapping[Any, int]) -> set[str]:
        """Topics that were deleted and created again: they have another id than at the last look, or, from a broker
        that tells no ids, a partition that ends before what was read of it.
        """
        app = self._app
        topics = {tp.topic for tp in ends}
        ids = await topic_ids(app.consumer._thread._ensure_consumer()._client, topics)
        others = {topic for topic, number in ids.items() if app.topic_ids.get(topic, number) != number}
        known = app.topic_ids | ids
        # Of a topic that is not ours any more the broker has forgotten what was committed, if it was deleted.
        app.topic_ids = {topic: known[topic] for topic in topics & known.keys()}
        return others | {tp.topic for tp, end in ends.items() if end is not None and end < reached.get(tp, 0)}

    def _begin_again(self, topics: set[str]) -> None:
        """By joining the group again: nothing of what is under way is then taken for a part of the new topic."""
        app = self._app
        for topic in topics:
            log.warning(
                "the topic was made anew, reading it from its beginning", extra={"group": app.conf.id, "topic": topic}
            )
        for tp in app.consumer.assignment():
            if tp.topic in topics:
                app.progress.forgotten((tp.topic, tp.partition))
        app.made_anew |= topics
        app.consumer._thread._ensure_consumer()._coordinator.request_rejoin()

    def _tell(self) -> None:
        """Our own numbers: lag and age, by group and topic."""
        group, progress = self._app.conf.id, self._app.progress
        oldest, now_ms = progress.oldest_of_topics(), time.time() * 1000
        lag = progress.lag_of_topics()
        for topic in self._told - set(lag):  # given to another member
            lag[topic] = 0
        self._told |= set(lag)
        for topic, messages in lag.items():
            selfmetrics.BUS_LAG.set(messages, group, topic)
            age = max(0.0, (now_ms - oldest[topic]) / 1000) if topic in oldest else 0.0
            selfmetrics.BUS_OLDEST_SECONDS.set(age, group, topic)

    def _measured(self, ends: Mapping[Any, int | None]) -> None:
        consumer = self._app.consumer
        self._app.progress.measured(
            {(tp.topic, tp.partition): end for tp, end in ends.items() if end is not None},
            # Faust has looked up what was committed once it knows from where to read.
            {
                (tp.topic, tp.partition): consumer._committed_offset.get(tp) or 0
                for tp in ends
                if tp in consumer._read_offset
            },
        )

    async def _on_assigned(self, _: App, assigned: Any, **__: Any) -> None:
        self._app.progress.assigned({(tp.topic, tp.partition) for tp in assigned})
        self._assigned.set()

    async def stop(self) -> None:
        if self._assigned.is_set() and not self._app.crashed:
            await self._drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_WITHIN):
                await self._app.stop()

    async def _drain(self) -> None:
        """Let the handlers have what the broker has, without waiting for full batches: a broker inside this process
        forgets it, and from any other it need not come again. What they cannot take soon stays unacknowledged.
        """
        self._app.hurry.set()
        consumer = self._app.consumer
        with suppress(Exception):
            async with asyncio.timeout(DRAIN_WITHIN):
                self._measured(await consumer.highwaters(*consumer.assignment()))
                while self.lag():  # noqa: ASYNC110 - Faust tells of progress to those who ask only
                    await asyncio.sleep(0.02)

    def _raise_if_refused(self) -> None:
        """A group that may not read waits in silence: aiokafka tells who asks for messages, and Faust asks for those
        of its partitions only, of which there are none.
        """
        client = self._app.consumer._thread._consumer if self._app.consumer else None
        if client is None:
            return
        forbidden = client._client.cluster.unauthorized_topics & self._app.reads
        if forbidden:
            raise refusals.may_not_read(self._app.kafka, forbidden)
        refused = getattr(client._coordinator, "_pending_exception", None)
        if isinstance(refused, refusals.OF_RIGHTS):
            raise self._refusal(refused)

    def _refusal(self, error: BaseException) -> BusError:
        return refusals.may_not_consume(self._app.kafka, error, self._app.reads, self._app.conf.id)

    def _crash(self) -> BaseException:
        reason = self._app.crash_reason
        if isinstance(reason, refusals.OF_RIGHTS):
            return self._refusal(reason)
        return reason or BusError(f"{self.name} crashed")


@lru_cache(maxsize=100_000)
def _place(key: str) -> int:
    """As every Kafka client has it: modulo the number of partitions it is the partition."""
    return int(murmur2(key.encode())) & 0x7FFFFFFF


async def _until_handled(handle: Handle, batch: Sequence[Message]) -> None:
    for delay in backoff():
        try:
            await handle(batch)
            return
        except Exception as error:
            if not _is_temporary(error):
                raise
            log.warning(
                "a batch could not be processed, trying again",
                extra={
                    "reason": str(error) or type(error).__name__,
                    "messages": len(batch),
                    "seconds": round(delay, 1),
                },
            )
            await asyncio.sleep(delay)


def _is_temporary(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):  # of a handler that does several things at once
        return all(map(_is_temporary, error.exceptions))
    permanent = getattr(error, "permanent", None)
    if isinstance(permanent, bool):
        return not permanent
    return isinstance(error, OSError | TimeoutError)


def _message(message: Any) -> Message:
    headers = message.headers
    return Message(
        message.topic,
        message.partition,
        message.offset,
        message.key,
        message.value,
        round(message.timestamp * 1000),
        dict(headers.items() if hasattr(headers, "items") else headers or ()),
    )


def _credentials(kafka: KafkaSettings) -> Any:
    context = connection.ssl_context(kafka)
    if kafka.security_protocol.startswith("SASL"):
        username, password = connection.credentials(kafka)
        return faust.SASLCredentials(
            username=username, password=password, mechanism=kafka.sasl_mechanism, ssl_context=context
        )
    return faust.SSLCredentials(context=context) if context else None
