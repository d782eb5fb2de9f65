"""Two detectors share the hosts of a real Kafka: what one has learned goes with its partitions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.detector.continuity import SAVE_EVERY
from services.detector.service import Detector, build
from services.detector.states import TopicStates
from shared.broker.local import LocalKafka
from shared.bus.kafka import admin, publisher
from shared.runtime.clock import ManualClock
from shared.runtime.settings import Settings
from shared.schemas.topics import ALL_TOPICS, METRICS
from tests.flow.test_detector import QUICK, publish, said, samples, scores
from tests.support.broker import settings_for
from tests.support.local_kafka import kafka_at_hand, own_kafka
from tests.support.samples import T0
from tests.support.waiting import eventually

__all__ = ["kafka_at_hand", "own_kafka"]

HOSTS = [f"shared-{n}" for n in range(8)]


@pytest.fixture
async def settings(own_kafka: LocalKafka, tmp_path: Path) -> Settings:
    settings = settings_for(own_kafka.address, tmp_path, kafka={"partitions": 2}, detector=QUICK)
    await admin(settings.kafka).create(ALL_TOPICS)
    return settings


@asynccontextmanager
async def detector(settings: Settings, clock: ManualClock) -> AsyncIterator[Detector]:
    it = build(settings, clock=clock, session_timeout=30.0)
    assert isinstance(it, Detector)
    await it.start()
    try:
        yield it
    finally:
        await it.stop()


async def heard(settings: Settings, events: list[Any], first: int, seconds: int) -> list[Any]:
    """The scores of the next ``seconds`` of all hosts, published now."""
    for host in HOSTS:
        await publish(settings, samples(first, seconds, cpu=4, host=host), key=host)
    wanted = {f"{host}-{n}" for host in HOSTS for n in range(first, first + seconds)}

    def found() -> list[Any]:
        return [s for s in scores(events) if s.event_id in wanted]

    await eventually(lambda: len(found()) >= len(wanted))
    assert len(found()) == len(wanted), "none is judged twice"
    return found()


async def test_who_takes_over_a_host_knows_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock(T0 + 3_600_000)
    async with said(settings) as events, detector(settings, clock) as first:
        learning = await heard(settings, events, 0, 60)
        assert any(s.warming_up for s in learning)
        clock.advance(SAVE_EVERY)  # who moves before anything of it was saved begins anew
        await heard(settings, events, 60, 5)
        await eventually(lambda: all_saved(settings))

        async with detector(settings, clock) as second:
            await eventually(lambda: all(len(d._stream.partitions(METRICS)) == 1 for d in (first, second)), every=0.2)
            assert not any(s.warming_up for s in await heard(settings, events, 65, 20))
            # It dies without a word: nothing of its last minutes is saved.
            monkeypatch.setattr(second.processor, "save", lambda _: _nothing())
        await eventually(lambda: len(first._stream.partitions(METRICS)) == 2, every=0.2)
        assert not any(s.warming_up for s in await heard(settings, events, 85, 20))


async def all_saved(settings: Settings) -> bool:
    states = TopicStates(settings.kafka, publisher(settings.kafka, "reads only"))
    return sum([len(await states.load(partition)) for partition in (0, 1)]) == len(HOSTS)


async def _nothing() -> None: ...
