"""Brokers for tests: an embedded one in a moment, and whichever the battery of the bus runs on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from shared.broker.embedded import EmbeddedBroker
from shared.bus.kafka import admin
from shared.runtime.settings import Settings
from shared.schemas.topics import ALL_TOPICS, Topic
from tests.support.waiting import eventually


@contextmanager
def embedded_broker(topics: Sequence[Topic] = ALL_TOPICS, *, partitions: int = 2) -> Iterator[EmbeddedBroker]:
    """Empty, with ``topics``; gone afterwards with all it held."""
    broker = EmbeddedBroker(topics, partitions=partitions)
    try:
        yield broker
    finally:
        broker.close()


def settings_for(address: str, data_dir: Path, **sections: dict[str, object]) -> Settings:
    """Settings that name the broker at ``address``: ``settings_for(broker.address, tmp_path, ingest={…})``."""
    kafka = {"bootstrap_servers": address, **sections.pop("kafka", {})}
    return Settings.model_validate({"data_dir": data_dir, "kafka": kafka, **sections})


class TestBus:
    """A broker of some kind, and topics and group names nobody used before."""

    __test__ = False

    def __init__(self, kind: str, settings: Settings, embedded: EmbeddedBroker | None) -> None:
        self.kind = kind
        self.settings = settings
        self.embedded = embedded

    async def topic(self, partitions: int = 2, *, compacted: bool = False) -> Topic:
        topic = Topic(f"test.{uuid4().hex}", "a test", compacted=compacted)
        await self.made_anew(topic, partitions)
        return topic

    async def made_anew(self, topic: Topic, partitions: int = 2) -> None:
        if self.embedded:
            self.embedded.create_topic(topic.name, partitions)
        else:
            kafka = self.settings.kafka.model_copy(update={"partitions": partitions})
            await admin(kafka).create([topic])

    async def delete(self, topic: Topic) -> None:
        """It is gone afterwards. Skips the test where topics stay for ever."""
        if self.embedded:
            pytest.skip("the embedded broker deletes no topics")
        client = AIOKafkaAdminClient(bootstrap_servers=self.settings.kafka.bootstrap_servers)
        await client.start()
        try:
            await client.delete_topics([topic.name])

            async def gone() -> bool:
                return topic.name not in await client.list_topics()

            await eventually(gone)
        finally:
            await client.close()

    def name(self) -> str:
        return f"test-{uuid4().hex[:8]}"


@pytest.fixture(params=["embedded", "kafka"])
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TestBus]:
    """``LAPWING_TEST_KAFKA=host:port`` names a real Kafka for the battery; without it, it runs on one of our own."""
    if request.param == "embedded":
        with embedded_broker(()) as broker:
            yield TestBus("embedded", settings_for(broker.address, tmp_path), broker)
        return
    address = os.environ.get("LAPWING_TEST_KAFKA") or request.getfixturevalue("local_kafka").address
    yield TestBus("kafka", settings_for(address, tmp_path), None)
