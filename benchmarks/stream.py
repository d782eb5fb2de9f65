"""What Faust costs a message: CPU microseconds, stock against tuned, one event a message and five.

``python -m benchmarks.stream [messages]``
"""

from __future__ import annotations

import asyncio
import logging
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import faust

from shared.broker.embedded import EmbeddedBroker
from shared.bus import stream, tuned_faust
from shared.bus.kafka import publisher
from shared.bus.port import Message
from shared.runtime.settings import Settings
from shared.schemas.topics import METRICS

EVENT = b'{"kind":"sample","host_id":"%d",' + b'"x":"' + b"0123456789" * 330 + b'"}'


class _Stock(faust.App):  # type: ignore[misc]
    fetch_wait_ms = 1500

    def _create_directories(self) -> None: ...


async def consume(settings: Settings, name: str, app_class: type, messages: int) -> tuple[float, float]:
    """CPU and wall-clock microseconds a message."""
    stream.App = app_class  # type: ignore[attr-defined, assignment]
    app = stream.stream_app(settings, name)
    seen = 0
    done = asyncio.Event()

    async def handle(batch: Sequence[Message]) -> None:
        nonlocal seen
        seen += len(batch)
        if seen >= messages:
            done.set()

    stream.batches(app, [METRICS], 2000, 2.0, handle)
    service = stream.StreamService(name, app)
    cpu, wall = _cpu(), time.perf_counter()
    await service.start()
    await asyncio.wait_for(done.wait(), 60)
    cpu, wall = _cpu() - cpu, time.perf_counter() - wall
    await service.stop()
    return cpu / messages * 1e6, wall / messages * 1e6


def main(messages: int = 12_000) -> None:
    logging.disable(logging.WARNING)
    asyncio.run(_compare(messages))


async def _compare(messages: int) -> None:
    print(f"{'events a message':>16} {'app':>6} {'CPU us/message':>15} {'wall us/message':>16} {'CPU us/event':>13}")
    for pack in (1, 5):
        broker = EmbeddedBroker([METRICS], partitions=4)
        with TemporaryDirectory() as directory:
            settings = Settings.model_validate(
                {"data_dir": Path(directory), "kafka": {"bootstrap_servers": broker.address}}
            )
            sender = publisher(settings.kafka, "bench")
            await sender.start()
            for start in range(0, messages, 200):
                await asyncio.gather(
                    *(
                        sender.publish(METRICS, str(i), b"\n".join([EVENT % i] * pack))
                        for i in range(start, min(messages, start + 200))
                    )
                )
            await sender.stop()
            for label, app_class in (("stock", _Stock), ("tuned", tuned_faust.App)):
                cpu, wall = await consume(settings, f"{label}-{pack}", app_class, messages)
                print(f"{pack:>16} {label:>6} {cpu:>15.1f} {wall:>16.1f} {cpu / pack:>13.1f}", flush=True)
        broker.close()


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
