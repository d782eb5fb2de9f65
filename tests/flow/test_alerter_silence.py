"""Hosts that stop speaking, and a broker that stops listening: only the first is an alert."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from services.alerter.service import build
from shared.broker.embedded import EmbeddedBroker
from shared.bus.kafka import publisher
from shared.bus.port import BusError, Publisher
from shared.runtime.settings import Settings
from shared.schemas.codec import encode
from shared.schemas.sample import Cpu, HostSample
from shared.schemas.topics import METRICS
from tests.support.broker import settings_for
from tests.support.receivers import Webhooks
from tests.support.waiting import eventually

SILENT_AFTER = 3.0


@pytest.fixture
def settings(broker: EmbeddedBroker, hooks: Webhooks, tmp_path: Path) -> Settings:
    return settings_for(broker.address, tmp_path, alerter={"webhook_url": hooks.url, "host_silent_after": SILENT_AFTER})


@asynccontextmanager
async def hosts(settings: Settings, names: set[str]) -> AsyncIterator[None]:
    """``names`` speak every quarter of a second, as long as the broker takes it and they are in the set."""

    async def speak(bus: Publisher) -> None:
        while True:
            for name in sorted(names):
                now = round(time.time() * 1000)
                sample = HostSample(
                    event_id=f"{name}:{now}", ts=now, host_id=name, host=name, cpu=Cpu(count=1, percent=5.0)
                )
                with suppress(BusError):
                    await bus.publish(METRICS, name, encode(sample))
            await asyncio.sleep(0.25)

    bus = publisher(settings.kafka, "test", timeout=2.0)
    await bus.start()
    speaking = asyncio.create_task(speak(bus))
    try:
        yield
    finally:
        speaking.cancel()
        await bus.stop()


def silent(hooks: Webhooks) -> list[tuple[str, str]]:
    return [
        (alert["labels"]["host"], alert["status"])
        for body in hooks.bodies
        if body["groupLabels"] == {"alertname": "host_silent"}
        for alert in body["alerts"]
    ]


async def test_a_host_that_stops_is_told_and_its_return_too(settings: Settings, hooks: Webhooks) -> None:
    names = {"alpha", "beta"}
    alerter = build(settings)
    try:
        await alerter.start()
        async with hosts(settings, names):
            await eventually(lambda: alerter._evaluator.hosts == 2)
            names.remove("beta")
            await eventually(lambda: silent(hooks) == [("beta", "firing")])
            names.add("beta")
            await eventually(lambda: silent(hooks) == [("beta", "firing"), ("beta", "resolved")])
    finally:
        await alerter.stop()


async def test_an_outage_of_the_broker_is_no_storm(settings: Settings, hooks: Webhooks, broker: EmbeddedBroker) -> None:
    names = {f"host-{i}" for i in range(10)}
    alerter = build(settings)
    try:
        await alerter.start()
        async with hosts(settings, names):
            await eventually(lambda: alerter._evaluator.hosts == 10)
            broker.interrupt()
            await asyncio.sleep(SILENT_AFTER * 4)  # the outage itself, far longer than anybody may be silent
            broker.resume()
            names.remove("host-0")
            # Once it works again, who does not come back is told, and nobody else ever was.
            await eventually(lambda: silent(hooks))
            assert silent(hooks) == [("host-0", "firing")]
    finally:
        await alerter.stop()
