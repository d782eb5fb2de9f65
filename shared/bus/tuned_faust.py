"""Faust with the parts we do not use taken out, its waits made to measure, and two losses in a rebalance mended.

What each change bought, on one core with the embedded broker, is in ``benchmarks/stream.py``.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any

import faust
from aiokafka import errors
from aiokafka.consumer.fetcher import OffsetResetStrategy
from faust.app.base import BootStrategy
from faust.tables import TableManager
from faust.transport.drivers import aiokafka as driver
from mode import Service
from mode.utils.futures import maybe_async

from shared.bus import patched_aiokafka
from shared.bus.bell import bell_at
from shared.bus.fetching import fetch_when_rung
from shared.bus.progress import Progress
from shared.runtime.settings import KafkaSettings

patched_aiokafka.apply()

FULL_SECONDS = 0.05


class _Boot(BootStrategy):  # type: ignore[misc]
    enable_kafka_producer = False  # we publish through ``shared.bus.kafka``, which says when a message is safe
    enable_sensors = False


class _Tables(TableManager):  # type: ignore[misc]
    async def on_start(self) -> None:
        """Without the second of sleep in which an app might still define tables: we have none."""
        await self._update_channels()
        await self.recovery.start()


class _NoThread:
    """Stands where Faust has a thread: the same work as a task of the loop that is there."""

    def __init__(self, service: Any) -> None:
        self._service = service

    def start(self) -> None:
        serving = self._service.parent_loop.create_task(self._service._serve())
        serving.add_done_callback(lambda task: task.cancelled() or task.exception())  # Faust has told the app of it

    def stop(self) -> None: ...


class _ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Faust reads in a thread, lest a handler that computes for long keep heartbeats from the broker. Ours do not, and
    each call across two loops costs more than what it is for, a fetch that found nothing as much as any other.
    """

    Worker = _NoThread

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await maybe_async(fun(*args, **kwargs))

    async def on_thread_started(self) -> None:
        """Without the queue of calls."""

    async def _keepalive2(self) -> None:
        """Nothing to wake up."""

    @Service.task  # type: ignore[untyped-decorator]
    async def _thread_keepalive(self) -> None:
        """Nor a loop to keep going."""

    async def _gather_remaining_tasks(self) -> None:
        """They are everybody's."""

    async def on_start(self) -> None:
        await super().on_start()
        app = self.consumer.app
        if bell := bell_at(app.kafka.bootstrap_servers):
            fetch_when_rung(self._consumer, bell.ear(app.reads))

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = self.consumer.app.fetch_wait_ms  # 1500 in Faust, and not a setting
        return consumer

    def verify_event_path(self, now: float, tp: Any) -> None:
        """Faust tells by its statistics, which are not kept, whether a stream stands still; ``Progress`` knows."""

    async def seek_to_committed(self) -> Any:
        """Where nothing was committed yet, aiokafka stays where it is: behind all that was read of the partition and
        thrown away in the midst of a rebalance. Of a topic made anew what is committed is of the old one.
        """
        offsets = await super().seek_to_committed()
        consumer, app = self._consumer, self.consumer.app
        if stale := {tp: 0 for tp in offsets if tp.topic in app.made_anew}:
            offsets.update(stale)
        with suppress(errors.KafkaError):  # where the group rebalances again already, in that rebalance
            if stale:
                await consumer.commit(stale)
            app.made_anew.clear()
        if anew := {tp for tp, offset in offsets.items() if not offset} & consumer.assignment():
            # Not waited for: the fetcher asks the broker where the beginning is, for as long as that takes.
            asked = consumer._fetcher.request_offset_reset(anew, OffsetResetStrategy.EARLIEST)
            asked.add_done_callback(lambda future: future.cancelled() or future.exception())
            for tp in anew:
                app.topic_ids.pop(tp.topic, None)  # whichever it is, all of it is read
        return offsets


class _Consumer(driver.Consumer):  # type: ignore[misc]
    _room: asyncio.Event | None = None

    async def _wait_next_records(self, timeout: float) -> Any:
        """While the buffers of all partitions are full Faust looks once a second whether one has room again, and while
        some are it waits as long for the others: a worker that is behind did half of what it could. Here it is told.
        """
        if self.flow_active and self._buffered_partitions and not self._get_active_partitions():
            self._room = asyncio.Event()
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._room.wait()
        return await super()._wait_next_records(min(timeout, FULL_SECONDS) if self._buffered_partitions else timeout)

    def on_buffer_drop(self, tp: Any) -> None:
        super().on_buffer_drop(tp)
        if self._room:
            self._room.set()

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, thread_loop=self.loop, beacon=self.beacon)

    async def wait_first(self, *coros: Any, timeout: Any = None) -> Any:
        """Faust wraps the delivery of each message into four tasks, so that a rebalance can interrupt one that
        waits. Most do not wait: run the first step at once, and pay for the tasks only when it did not finish.
        """
        if timeout is None and len(coros) == 2 and all(isinstance(c, Coroutine) for c in coros):
            deliver, suspended = coros
            if not self.suspend_flow.is_set() and not self.should_stop:
                try:
                    waits_for = deliver.send(None)
                except StopIteration:
                    suspended.close()
                    return None
                coros = (_resumed(deliver, waits_for), suspended)
        return await super().wait_first(*coros, timeout=timeout)


async def _resumed(coroutine: Coroutine[Any, Any, Any], waits_for: Any) -> Any:
    return await _continue(coroutine, waits_for)


@types.coroutine
def _continue(coroutine: Coroutine[Any, Any, Any], waits_for: Any) -> Generator[Any, Any, Any]:
    """The rest of a coroutine whose first step was taken by hand and waits for ``waits_for``."""
    while True:
        try:
            sent = yield waits_for
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as error:
            try:
                waits_for = coroutine.throw(error)
            except StopIteration as end:
                return end.value
        else:
            try:
                waits_for = coroutine.send(sent)
            except StopIteration as end:
                return end.value


class _Transport(driver.Transport):  # type: ignore[misc]
    Consumer = _Consumer


class App(faust.App):  # type: ignore[misc]
    """``fetch_wait_ms``: a broker with nothing new answers a fetch after so long, real Kafka as soon as there is
    something. One inside this process does not; it is asked when its bell was rung. ``reads``: names of topics.
    ``topic_ids``: what was behind the names at the last look; ``made_anew``: those to be read from their beginning at
    the next rebalance.
    """

    BootStrategy = _Boot
    fetch_wait_ms = 500
    kafka: KafkaSettings
    reads: set[str]
    topic_ids: dict[str, bytes]
    made_anew: set[str]
    progress: Progress
    hurry: asyncio.Event
    _rebalancing_sensor_state: dict[Any, Any] | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, TableManager=_Tables, **kwargs)

    def on_init_dependencies(self) -> Any:
        """Without Faust's own statistics, which nobody reads: 5 us a message."""
        dependencies = super().on_init_dependencies()
        self.sensors.remove(self.monitor)
        return dependencies

    def on_rebalance_start(self) -> None:
        super().on_rebalance_start()
        # Of nobody's state Faust warns at every rebalance.
        self._rebalancing_sensor_state = self._rebalancing_sensor_state or {"": {}}

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)

    async def _on_partitions_revoked(self, revoked: set[Any]) -> None:
        """Faust stops the flow of messages for a rebalance, but not that of a member without partitions; and clears its
        queues at the end, which by then hold the first messages of what the member was given.
        """
        if not self.should_stop and not self.consumer.assignment():
            self.consumer.stop_flow()
            self.flow_control.suspend()
        await super()._on_partitions_revoked(revoked)

    def _create_directories(self) -> None:
        """We keep no tables, so nothing of Faust's belongs on disk."""
