"""The detector: judges every host sample. ``build`` puts it together."""

from __future__ import annotations

from services.detector.bank import Bank
from services.detector.judge import Judge
from services.detector.processor import Processor
from services.detector.snapshots import EpisodeFile
from shared.bus import kafka
from shared.bus.port import Publisher
from shared.bus.stream import StreamService, batches, stream_app
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.health import Health
from shared.runtime.lifecycle import Service
from shared.runtime.settings import Settings
from shared.schemas.topics import METRICS

BATCH_EVENTS = 2000
BATCH_SECONDS = 0.6


class Detector:
    name = "detector"

    def __init__(self, processor: Processor, publisher: Publisher, stream: StreamService) -> None:
        self.processor = processor
        self._publisher = publisher
        self._stream = stream

    async def start(self) -> None:
        """Raises ``BusError`` where the broker cannot be reached."""
        await self._publisher.start()
        await self.processor.restore()
        await self._stream.start()

    async def watch(self) -> None:
        await self._stream.watch()

    async def stop(self) -> None:
        await self._stream.stop()
        await self._publisher.stop()


def build(
    settings: Settings,
    *,
    clock: Clock | None = None,
    health: Health | None = None,
    publisher: Publisher | None = None,
    session_timeout: float = 10.0,
) -> Service:
    """``session_timeout``: see ``stream_app``; for tests. Raises ``BusError`` (permanent) on Kafka settings that
    cannot work.
    """
    detector = settings.detector
    publisher = publisher or kafka.publisher(settings.kafka, "lapwing-detector")
    processor = Processor(
        Bank(warmup_seconds=detector.warmup_seconds, max_hosts=detector.max_hosts),
        Judge(threshold=detector.threshold, open_after=detector.open_after, close_after=detector.close_after),
        publisher,
        EpisodeFile(settings.data_dir / "detector" / "episodes.json"),
        clock or SystemClock(),
        max_hosts=detector.max_hosts,
        max_future_ms=settings.ingest.max_future_seconds * 1000,
    )
    app = stream_app(settings, "detector", session_timeout=session_timeout)
    batches(app, [METRICS], BATCH_EVENTS, BATCH_SECONDS, processor.handle)
    if health:
        health.progress["detector"] = processor.stuck
    return Detector(processor, publisher, StreamService("detector", app))
