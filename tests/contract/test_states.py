"""What the detector knows of hosts is kept, found again and brought up to date, on every broker there is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.detector.detection import Detection
from services.detector.feedback import Opinions
from services.detector.processor import Processor
from services.detector.states import FileStates, Saved, States, TopicStates
from shared.bus import kafka
from shared.bus.port import Message, Publisher
from shared.runtime.clock import ManualClock
from shared.runtime.settings import DetectorSettings
from shared.schemas.topics import Topic
from tests.support.broker import TestBus
from tests.support.samples import T0, host_sample
from tests.unit.detector.test_processor import Wire

QUICK = DetectorSettings(warmup_seconds=30, open_after=3, close_after=10, max_hosts=100)
HOSTS = ("host-1", "host-2", "host-3")


@asynccontextmanager
async def publishing(bus: TestBus) -> AsyncIterator[Publisher]:
    out = kafka.publisher(bus.settings.kafka, "test")
    await out.start()
    try:
        yield out
    finally:
        await out.stop()


async def stretch(bus: TestBus, topic: Topic, partition: int, first: int = 0, end: int | None = None) -> list[Message]:
    return [m async for batch in kafka.span(bus.settings.kafka, topic, partition, first, end, "test") for m in batch]


async def test_a_stretch_of_a_partition_is_read_and_no_more(bus: TestBus) -> None:
    topic = await bus.topic(1)
    async with publishing(bus) as out:
        for n in range(30):
            await out.publish(topic, "key", str(n).encode())
    assert [m.value for m in await stretch(bus, topic, 0)] == [str(n).encode() for n in range(30)]
    assert [m.offset for m in await stretch(bus, topic, 0, 10, 20)] == list(range(10, 20))
    assert [m.offset for m in await stretch(bus, topic, 0, 25, 99)] == list(range(25, 30))
    assert await stretch(bus, topic, 0, 30, 30) == []
    assert await stretch(bus, topic, 7) == []


async def test_the_newest_state_of_each_host_is_found_in_its_partition(bus: TestBus, tmp_path: Path) -> None:
    topic = await bus.topic(2, compacted=True)
    async with publishing(bus) as out:
        for states in (TopicStates(bus.settings.kafka, out, topic), FileStates(tmp_path)):
            homes = {}
            for offset in (1, 2):
                for host in HOSTS:
                    homes[host] = home = (await out.publish(topic, host, None)).partition
                    await states.save(home, Saved(host, offset, b"knowledge" * 1000))
            found = {partition: await states.load(partition) for partition in (0, 1)}
            assert all(isinstance(saved, Saved) for some in found.values() for saved in some)
            assert {s.host_id: p for p, some in found.items() for s in some if isinstance(s, Saved)} == homes
            of_disk = isinstance(states, FileStates)
            assert {s.offset for some in found.values() for s in some if isinstance(s, Saved)} == {0 if of_disk else 2}


async def test_what_is_forgotten_is_found_no_more(bus: TestBus, tmp_path: Path) -> None:
    topic = await bus.topic(1, compacted=True)
    async with publishing(bus) as out:
        for states in (TopicStates(bus.settings.kafka, out, topic), FileStates(tmp_path)):
            for host in HOSTS:
                await states.save(0, Saved(host, 1, b"knowledge"))
            for _ in range(2):
                await states.forget(0, HOSTS[0])
            assert {s.host_id for s in await states.load(0) if isinstance(s, Saved)} == set(HOSTS[1:])


@pytest.mark.parametrize("poison", [b"no zstd", b"\x28\xb5\x2f\xfd", b"\x80\x04\x95."])
async def test_a_state_that_cannot_be_read_costs_its_host_only(bus: TestBus, poison: bytes) -> None:
    topic = await bus.topic(1, compacted=True)
    async with publishing(bus) as out:
        states = TopicStates(bus.settings.kafka, out, topic)
        await out.publish(topic, "host-1", poison)
        await states.save(0, Saved("host-2", 5, b"good"))
        bad, good = await states.load(0)
    assert isinstance(bad, str) and "host-1" in bad
    assert good == Saved("host-2", 5, b"good")


class Run:
    """A detector without a consumer group: it is handed what is on the topic."""

    def __init__(self, bus: TestBus, topic: Topic, states: States) -> None:
        self.wire = Wire()
        self.clock = ManualClock(T0 + 86_400_000)
        self._bus, self._topic = bus, topic
        self.learned_again = 0
        self.processor = Processor(
            Detection(QUICK, Opinions()),
            self.wire,
            states,
            self._past,
            self.clock,
            max_hosts=100,
            max_future_ms=600_000,
            forget_ms=30 * 86_400_000,
            mine=lambda: {0},
        )

    async def _past(self, partition: int, first: int, end: int) -> AsyncIterator[Sequence[Message]]:
        async for batch in kafka.span(self._bus.settings.kafka, self._topic, partition, first, end, "test"):
            self.learned_again += len(batch)
            yield batch

    async def handle(self, messages: Sequence[Message]) -> None:
        for begin in range(0, len(messages), 7):
            await self.processor.handle(messages[begin : begin + 7])

    def said(self) -> list[dict[str, Any]]:
        return [json.loads(line) for _, value in self.wire.sent for line in value.split(b"\n")]


def by_id(events: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """None twice."""
    assert len({e["event_id"] for e in events}) == len(events)
    return {e["event_id"]: e for e in events}


async def the_story(bus: TestBus, topic: Topic, out: Publisher) -> list[Message]:
    """Two hosts for three minutes; one of them is busy for a while."""
    samples = [
        host_sample(
            host_id=host,
            event_id=f"{host}-{second}",
            ts=T0 + second * 1000,
            cpu={"percent": 99.0 if host == "host-1" and 90 <= second < 140 else 4.0 + second % 3},
        )
        for second in range(180)
        for host in HOSTS[:2]
    ]
    key = "one key, one partition"
    await asyncio.gather(*(out.publish(topic, key, json.dumps(sample).encode()) for sample in samples))
    return await stretch(bus, topic, 0)


@pytest.mark.parametrize("killed_at", [50, 200, 230])
async def test_another_goes_on_as_if_nothing_had_happened(bus: TestBus, tmp_path: Path, killed_at: int) -> None:
    topic, kept = await bus.topic(1), await bus.topic(1, compacted=True)
    async with publishing(bus) as out:
        story = await the_story(bus, topic, out)
        undisturbed = Run(bus, topic, FileStates(tmp_path))
        await undisturbed.handle(story)
        states = TopicStates(bus.settings.kafka, out, kept)
        first = Run(bus, topic, states)
        saved_at = killed_at // 2
        await first.handle(story[:saved_at])
        await first.processor.save({0})
        await first.handle(story[saved_at:killed_at])  # learned and told, and gone from memory with the process
        second = Run(bus, topic, states)
        await second.handle(story[killed_at:])
    assert 0 < second.learned_again <= killed_at - saved_at
    assert by_id(first.said() + second.said()) == by_id(undisturbed.said())
    opened = [e for e in undisturbed.said() if e["kind"] == "anomaly" and e["state"] == "open"]
    assert [e["host_id"] for e in opened] == ["host-1"], "the story has something to tell"


async def test_who_gets_a_partition_back_has_what_another_learned_meanwhile(bus: TestBus, tmp_path: Path) -> None:
    topic, kept = await bus.topic(1), await bus.topic(1, compacted=True)
    async with publishing(bus) as out:
        story = await the_story(bus, topic, out)
        undisturbed = Run(bus, topic, FileStates(tmp_path))
        await undisturbed.handle(story)
        states = TopicStates(bus.settings.kafka, out, kept)
        first, second = Run(bus, topic, states), Run(bus, topic, states)
        await first.handle(story[:100])
        await first.processor.save({0})
        await second.handle(story[100:210])
        await second.processor.save({0})
        await first.handle(story[210:])
    assert by_id(first.said() + second.said()) == by_id(undisturbed.said())


async def test_states_are_saved_as_time_goes_by(bus: TestBus) -> None:
    topic, kept = await bus.topic(1), await bus.topic(1, compacted=True)
    async with publishing(bus) as out:
        story = await the_story(bus, topic, out)
        run = Run(bus, topic, TopicStates(bus.settings.kafka, out, kept))
        for begin in range(0, 60, 10):
            run.clock.advance(200)
            await run.processor.handle(story[begin : begin + 10])
        saved = await run.processor._continuity._states.load(0)
    assert {s.host_id for s in saved if isinstance(s, Saved)} == set(HOSTS[:2])
    assert len(await stretch(bus, kept, 0)) <= 6, "each every ten minutes, not with every batch"
