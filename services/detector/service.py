"""The detector: judges every host sample. ``build`` puts it together."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from services.detector.detection import Detection
from services.detector.feedback import Opinions
from services.detector.listening import Listening
from services.detector.processor import Processor
from services.detector.states import States, TopicStates
from shared.bus import kafka
from shared.bus.port import Publisher, Tail
from shared.bus.stream import StreamService, batches, stream_app
from shared.models.channels import Channels
from shared.models.registry import models_dir
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.health import Health
from shared.runtime.lifecycle import Service
from shared.runtime.settings import Settings
from shared.schemas.topics import CONTROL, METRICS

BATCH_EVENTS = 2000
BATCH_SECONDS = 0.6
SAVE_WITHIN = 3.0


class Detector:
    name = "detector"

    def __init__(
        self, processor: Processor, publisher: Publisher, stream: StreamService, control: Tail, opinions: Opinions
    ) -> None:
        self.opinions = opinions
        self.processor = processor
        self._publisher = publisher
        self._stream = stream
        self._control = control
        self._listening = Listening(control, opinions)
        self._hears: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises ``BusError`` where the broker cannot be reached."""
        await self._publisher.start()
        await self._control.start()
        self._hears = asyncio.create_task(self._listening.run(), name="detector-control")
        await self._stream.start()

    async def watch(self) -> None:
        assert self._hears is not None
        stream = asyncio.create_task(self._stream.watch())
        try:
            done, _ = await asyncio.wait({stream, self._hears}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            stream.cancel()

    async def stop(self) -> None:
        ours = self._stream.partitions(METRICS)
        await self._stream.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(SAVE_WITHIN):
                await self.processor.save(ours)
        await self._control.stop()
        if self._hears is not None:
            self._hears.cancel()
            await asyncio.gather(self._hears, return_exceptions=True)
        await self._publisher.stop()


def build(
    settings: Settings,
    *,
    clock: Clock | None = None,
    health: Health | None = None,
    publisher: Publisher | None = None,
    control: Tail | None = None,
    states: States | None = None,
    session_timeout: float = 10.0,
) -> Service:
    """``states``: where models are kept; on the bus unless said otherwise. ``session_timeout``: see ``stream_app``; for
    tests. Raises ``BusError`` (permanent) on Kafka settings that cannot work.
    """
    detector = settings.detector
    publisher = publisher or kafka.publisher(settings.kafka, "lapwing-detector")
    control = control or kafka.tail(settings.kafka, [CONTROL], "lapwing-detector-control")
    opinions = Opinions()
    clock = clock or SystemClock()
    frozen = Channels(models_dir(settings.data_dir), clock, detector.max_hosts)
    app = stream_app(settings, "detector", session_timeout=session_timeout)
    stream = StreamService("detector", app)
    processor = Processor(
        Detection(detector, opinions, frozen.score),
        publisher,
        states or TopicStates(settings.kafka, publisher),
        lambda partition, first, end: kafka.span(
            settings.kafka, METRICS, partition, first, end, "lapwing-detector-past"
        ),
        clock,
        max_hosts=detector.max_hosts,
        max_future_ms=settings.ingest.max_future_seconds * 1000,
        forget_ms=detector.forget_days * 86_400_000,
        mine=lambda: stream.partitions(METRICS),
    )
    batches(app, [METRICS], BATCH_EVENTS, BATCH_SECONDS, processor.handle)
    if health:
        health.progress["detector"] = processor.stuck
    return Detector(processor, publisher, stream, control, opinions)
