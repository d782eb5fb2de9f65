"""Two alerters on a real Kafka: they share the hosts, one of them tells, and when it is killed the other goes on."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.broker.local import LocalKafka
from shared.bus.kafka import admin, publisher
from shared.bus.port import Publisher
from shared.runtime.settings import Settings
from shared.schemas.codec import encode
from shared.schemas.sample import Cpu, HostSample
from shared.schemas.topics import ALL_TOPICS, METRICS
from tests.support.broker import settings_for
from tests.support.local_kafka import kafka_at_hand, own_kafka
from tests.support.product import Product
from tests.support.receivers import Webhooks
from tests.support.waiting import eventually

__all__ = ["kafka_at_hand", "own_kafka"]

HOSTS = [f"web-{n}" for n in range(8)]
RULES = """
shipped: false
rules:
  - {name: hot, title: CPU is hot, metric: cpu.percent, above: 90, leave: 50, severity: critical}
"""
ROUTING = """
route:
  receiver: webhook
  group_by: [alertname]
  group_wait: 0s
  group_interval: 1s
"""
HOLDS = re.compile("this alerter holds the lease")


@pytest.fixture
async def settings(own_kafka: LocalKafka, tmp_path: Path) -> Settings:
    settings = settings_for(own_kafka.address, tmp_path, kafka={"partitions": 2})
    await admin(settings.kafka).create(ALL_TOPICS)
    return settings


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[Publisher]:
    it = publisher(settings.kafka, "test")
    await it.start()
    yield it
    await it.stop()


@contextmanager
def alerter(settings: Settings, hooks: Webhooks, folder: Path) -> Iterator[Product]:
    folder.mkdir()
    for name, text in (("rules.yaml", RULES), ("routing.yaml", ROUTING)):
        (folder / name).write_text(text)
    product = Product(
        folder / "data",
        "alerter",
        LAPWING_KAFKA__BOOTSTRAP_SERVERS=settings.kafka.bootstrap_servers,
        LAPWING_KAFKA__PARTITIONS="2",
        LAPWING_ALERTER__RULES=str(folder / "rules.yaml"),
        LAPWING_ALERTER__ROUTING=str(folder / "routing.yaml"),
        LAPWING_ALERTER__WEBHOOK_URL=hooks.url,
    )
    product.begin()
    try:
        yield product
    finally:
        product.kill()


def holds(product: Product) -> bool:
    words = [line for line in product.lines if "the lease" in line]
    return bool(words) and bool(HOLDS.search(words[-1]))


class Load:
    """What the hosts' processors are at."""

    def __init__(self, bus: Publisher) -> None:
        self._bus = bus
        self._last = 0

    async def set(self, **percent: float) -> None:
        """By number of the host: ``set(_0=99.0)``; the others are calm."""
        self._last = max(round(time.time() * 1000), self._last + 1)
        for number, host in enumerate(HOSTS):
            sample = HostSample(
                event_id=f"{host}:{self._last}",
                ts=self._last,
                host_id=host,
                host=host,
                cpu=Cpu(count=2, percent=percent.get(f"_{number}", 3.0)),
            )
            await self._bus.publish(METRICS, host, encode(sample))


def told(hooks: Webhooks, status: str) -> list[str]:
    """Hosts, one entry each time that one was told with this status in a message that it was new in."""
    seen: set[tuple[str, str]] = set()
    out = []
    for body in hooks.bodies:
        for alert in body["alerts"]:
            key = (alert["fingerprint"], alert["startsAt"] + alert["status"])
            if alert["status"] == status and key not in seen:
                out.append(alert["labels"]["host"])
                seen.add(key)
    return out


async def test_the_one_that_tells_is_killed_and_the_other_goes_on(
    settings: Settings, bus: Publisher, hooks: Webhooks, tmp_path: Path
) -> None:
    load = Load(bus)
    with alerter(settings, hooks, tmp_path / "a") as first, alerter(settings, hooks, tmp_path / "b") as second:
        both = (first, second)
        await eventually(lambda: sum(map(holds, both)) == 1 and all("the alerter is up" in p.said() for p in both))
        await load.set(**{f"_{n}": 99.0 for n in range(4)})
        await eventually(lambda: set(told(hooks, "firing")) == set(HOSTS[:4]))
        before = len(hooks.bodies)

        leader, other = (first, second) if holds(first) else (second, first)
        leader.kill()
        await load.set(**{f"_{n}": 99.0 for n in range(6)})
        await eventually(lambda: set(told(hooks, "firing")) == set(HOSTS[:6]))
        await eventually(lambda: holds(other))
        # What was told by the one that died is not told again as new; what it could not tell is told.
        new = {
            a["labels"]["host"] for body in hooks.bodies[before:] for a in body["alerts"] if body["status"] == "firing"
        }
        assert set(HOSTS[4:6]) <= new
        await load.set()
        await eventually(lambda: set(told(hooks, "resolved")) == set(HOSTS[:6]))
