"""The product on an Apache Kafka of its own, and what becomes of it when one of the two is killed."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import psutil
import pytest

from shared.bus.kafka import tail
from shared.runtime.settings import KafkaSettings
from shared.schemas.codec import BadLine, Decoder
from shared.schemas.sample import HostSample
from shared.schemas.topics import METRICS
from tests.support.product import Product

pytestmark = [pytest.mark.usefixtures("kafka_at_hand"), pytest.mark.timeout(600)]

HISTORY = "/api/system/history/?metric=memory.percent&from=now-15m&to=now&step=1s"


def on_local_kafka(data_dir: Path, **settings: str) -> Product:
    return Product(data_dir, LAPWING_KAFKA__BOOTSTRAP_SERVERS="local://", **settings)


def kafka_of(product: Product) -> psutil.Process:
    (it,) = [p for p in psutil.Process(product.pid).children(recursive=True) if "kafka.Kafka" in p.cmdline()]
    return it


def accepted(data_dir: Path) -> set[int]:
    """Of every sample with a memory section the broker holds: the second it was taken in, in epoch ms."""
    port = (data_dir / "kafka" / "ports").read_text().split()[0]

    async def read() -> set[int]:
        it = tail(KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}"), [METRICS], "test")
        await it.start()
        seen: set[int] = set()
        if it.lag():
            async for batch in it.messages():
                for sample in (s for m in batch for s in Decoder(HostSample).lines(m.value or b"")):
                    assert not isinstance(sample, BadLine)
                    if sample.memory:
                        seen.add(sample.ts // 1000 * 1000)
                if not it.lag():
                    break
        await it.stop()
        return seen

    return asyncio.run(asyncio.wait_for(read(), 60))


def stored(data: dict) -> set[int]:
    return {at for series in data["series"] for at, _ in series["points"]}


def wait_for(condition: object, within: float, that: str) -> None:
    deadline = time.monotonic() + within
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"not within {within} s: {that}"
        time.sleep(0.1)


def test_killed_it_leaves_no_orphan_and_nothing_accepted_is_lost(tmp_path: Path) -> None:
    # Ingest waits so long for a full batch that the end comes while the broker alone has the newest samples.
    first = on_local_kafka(tmp_path, LAPWING_INGEST__BATCH_SECONDS="60")
    first.start()
    try:
        first.until(HISTORY, stored)
        wait_for(lambda: len(accepted(tmp_path) - stored(first.get(HISTORY))) >= 4, 60, "samples in no table yet")
        before = accepted(tmp_path)
        kafka = kafka_of(first)
    finally:
        first.kill()
    wait_for(lambda: not kafka.is_running() or kafka.status() == psutil.STATUS_ZOMBIE, 60, "Kafka dies with its owner")

    second = on_local_kafka(tmp_path)
    second.start()
    try:
        second.until(HISTORY, lambda data: before <= stored(data))

        # Now the other of the two. It comes back, and what was collected meanwhile arrives as well.
        killed = kafka_of(second)
        at = time.time()
        killed.kill()
        wait_for(lambda: "Apache Kafka died, starting it again" in second.said(), 60, "it says so")
        wait_for(lambda: second.said().count("Apache Kafka is up") == 2, 60, "it comes back")
        back = time.time()
        # In their order: with one of after it all of before it are there.
        wait_for(lambda: max(accepted(tmp_path)) >= back * 1000, 60, "new samples on the topic")
        after = accepted(tmp_path)
        assert before < after
        meanwhile = [ts for ts in after if at * 1000 < ts < back * 1000]
        # A busy machine may skip a second here and there.
        assert len(meanwhile) >= (back - at) / 2, "collected while Kafka was away"
        second.until(HISTORY, lambda data: after <= stored(data))

        kafka = kafka_of(second)
        assert kafka != killed
        assert second.stop() == 0
        assert not kafka.is_running()
    finally:
        second.kill()
