"""A topic deleted and created again under ingest, on a real Kafka: nobody need do anything."""

from __future__ import annotations

import asyncio

import pytest

from shared.broker.local import LocalKafka
from shared.bus import stream
from shared.bus.kafka import admin
from shared.runtime.settings import Settings
from shared.schemas.topics import ALL_TOPICS, METRICS
from shared.store.port import Store
from tests.flow.test_ingest_road import clock, ingesting, line, send, store, until_stored
from tests.support.broker import TestBus, settings_for
from tests.support.local_kafka import kafka_at_hand, own_kafka
from tests.support.store import fresh_store

__all__ = ["clock", "fresh_store", "kafka_at_hand", "own_kafka", "store"]


@pytest.fixture
async def settings(own_kafka: LocalKafka, fresh_store: Settings) -> Settings:
    settings = settings_for(
        own_kafka.address,
        fresh_store.data_dir,
        kafka={"partitions": 2},
        clickhouse={"dsn": fresh_store.clickhouse.dsn},
        ingest={"batch_seconds": 0.2, "batch_events": 100},
    )
    await admin(settings.kafka).create(ALL_TOPICS)
    return settings


async def test_ingest_stores_what_comes_after_a_topic_was_deleted_and_made_anew(
    settings: Settings,
    store: Store,
    clock: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "LOOK_EVERY", 0.2)
    monkeypatch.setattr(stream, "METADATA_SECONDS", 1.0)
    async with ingesting(settings, clock, session_timeout=6.0) as service:  # type: ignore[arg-type]
        ended = asyncio.create_task(service.watch())
        await send(settings, METRICS, *(line(second) for second in range(20)))
        await until_stored(store, 20)
        await TestBus("kafka", settings, None).delete(METRICS)
        await admin(settings.kafka).create([METRICS])
        await send(settings, METRICS, *(line(second) for second in range(20, 25)))
        await until_stored(store, 25)
        assert not ended.done()
        ended.cancel()
