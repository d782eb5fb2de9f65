"""What the processor owes its topic when publishing fails: nothing twice in the models, nothing missing outside."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from services.detector.detection import Detection
from services.detector.feedback import Opinions
from services.detector.processor import MAX_PACK_BYTES, Processor
from services.detector.states import FileStates
from shared.bus.port import BusError, Message, Receipt
from shared.runtime.clock import ManualClock
from shared.runtime.settings import DetectorSettings
from shared.schemas.topics import ANOMALIES, METRICS, Topic
from tests.support.samples import T0, host_sample


class Wire:
    """A publisher that refuses the hosts it is told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.refuse: set[str] = set()

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def publish(
        self, topic: Topic, key: str, value: bytes | None, headers: Mapping[str, bytes] | None = None
    ) -> Receipt:
        assert topic == ANOMALIES
        if key in self.refuse:
            raise BusError("the broker is away")
        self.sent.append((key, value or b""))
        return Receipt(topic.name, 0, len(self.sent) - 1)

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for _, value in self.sent for line in value.split(b"\n")]
        return [line for line in lines if line["kind"] == kind]


DAY = 86_400
QUICK = DetectorSettings(warmup_seconds=10, open_after=3, close_after=5, max_hosts=100)


async def past(partition: int, first: int, end: int) -> AsyncIterator[Sequence[Message]]:
    raise AssertionError("nothing was learned before")
    yield ()


def kept(tmp_path: Path) -> int:
    """How many states there are."""
    return len(list((tmp_path / "states").rglob("*.state")))


def processor(wire: Wire, tmp_path: Path, clock: ManualClock | None = None) -> Processor:
    return Processor(
        Detection(QUICK, Opinions()),
        wire,
        FileStates(tmp_path / "states"),
        past,
        clock or ManualClock(T0 + 86_400_000),
        max_hosts=100,
        max_future_ms=600_000,
        forget_ms=30 * DAY * 1000,
        mine=lambda: {0, 5},
    )


def message(*samples: dict[str, Any], offset: int = 0) -> Message:
    value = b"\n".join(json.dumps(s).encode() for s in samples)
    return Message(METRICS.name, 0, offset, b"key", value, T0)


def sample(second: int, cpu: float = 3.0, host: str = "host-1", **more: Any) -> dict[str, Any]:
    return host_sample(host_id=host, event_id=f"{host}-{second}", ts=T0 + second * 1000, cpu={"percent": cpu}, **more)


async def test_a_batch_that_is_handled_again_is_published_once_and_learned_once(tmp_path: Path) -> None:
    wire = Wire()
    it = processor(wire, tmp_path)
    batch = [message(sample(n), sample(n, host="host-2")) for n in range(20)]
    wire.refuse = {"host-2"}
    for _ in range(3):
        with pytest.raises(BusError):
            await it.handle(batch)
    wire.refuse = set()
    await it.handle(batch)
    assert sorted(e["event_id"] for e in wire.events("score")) == sorted(
        f"{host}-{n}" for host in ("host-1", "host-2") for n in range(20)
    )
    assert (it.counters.scored, it.counters.late) == (40, 0)


async def test_a_batch_that_is_taken_away_half_way_is_told_with_the_one_that_comes_instead(tmp_path: Path) -> None:
    wire = Wire()
    it = processor(wire, tmp_path)
    messages = [message(sample(n), offset=n) for n in range(150)]
    taken = asyncio.create_task(it.handle(messages[:120]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    taken.cancel()  # as a rebalance does
    with pytest.raises(asyncio.CancelledError):
        await taken
    await it.handle(messages)
    assert {e["event_id"] for e in wire.events("score")} == {f"host-1-{n}" for n in range(150)}


async def test_what_could_not_be_told_does_not_hide_what_comes_after_it(tmp_path: Path) -> None:
    wire = Wire()
    it = processor(wire, tmp_path)
    wire.refuse = {"host-1"}
    with pytest.raises(BusError):
        await it.handle([message(sample(0), offset=0)])
    wire.refuse = set()
    await it.handle([message(sample(0), offset=0), message(sample(1), offset=1)])  # a longer batch from there
    assert [e["event_id"] for e in wire.events("score")] == ["host-1-0", "host-1-1"]


async def test_a_host_whose_first_message_fails_keeps_its_order(tmp_path: Path) -> None:
    wire = Wire()
    it = processor(wire, tmp_path)
    wire.refuse = {"host-1"}
    # So many that they do not fit into one message.
    batch = [message(*(sample(n) for n in range(start, start + 100))) for start in range(0, 3000, 100)]
    with pytest.raises(BusError):
        await it.handle(batch)
    wire.refuse = set()
    await it.handle(batch)
    assert len(wire.sent) > 1
    assert all(len(value) <= MAX_PACK_BYTES for _, value in wire.sent)
    assert [e["ts"] for e in wire.events("score")] == [T0 + n * 1000 for n in range(3000)]


async def test_health_names_the_reason_after_a_minute(tmp_path: Path) -> None:
    wire, clock = Wire(), ManualClock(T0)
    it = processor(wire, tmp_path, clock)
    wire.refuse = {"host-1"}
    batch = [message(sample(0))]
    for _ in range(2):
        with pytest.raises(BusError):
            await it.handle(batch)
        clock.advance(40)
    assert it.stuck() == "scores cannot be published: the broker is away"
    wire.refuse = set()
    await it.handle(batch)
    assert it.stuck() is None


async def test_an_episode_is_kept_before_it_is_told(tmp_path: Path) -> None:
    wire = Wire()
    it = processor(wire, tmp_path)
    await it.handle([message(*(sample(n) for n in range(30)))])
    wire.refuse = {"host-1"}
    opening = [message(*(sample(n, cpu=99.0) for n in range(30, 40)))]
    with pytest.raises(BusError):
        await it.handle(opening)
    assert kept(tmp_path) == 1

    for expected in (["open", "update", "close"], []):  # the first was killed there; who goes on tells it, once
        later = Wire()
        another = processor(later, tmp_path)
        await another.handle(
            [message(*(sample(n, cpu=99.0) for n in range(40, 80)), *(sample(n) for n in range(80, 90)))]
        )
        assert [e["state"] for e in later.events("anomaly")] == expected
        scored = [e["event_id"] for e in later.events("score")]
        assert scored == ([f"host-1-{n}" for n in range(30, 90)] if expected else []), "and its scores"


async def test_what_could_not_be_told_before_the_end_is_told_by_the_next(tmp_path: Path) -> None:
    wire, later = Wire(), Wire()
    it = processor(wire, tmp_path)
    wire.refuse = {"host-1"}
    with pytest.raises(BusError):
        await it.handle([message(*(sample(n) for n in range(3)))])
    await it.save({0})
    await processor(later, tmp_path).handle([message(sample(3))])
    assert [e["event_id"] for e in later.events("score")] == [f"host-1-{n}" for n in range(4)]


async def test_a_host_that_is_silent_for_long_while_others_are_not_is_forgotten(tmp_path: Path) -> None:
    wire, clock = Wire(), ManualClock(T0 + 90 * DAY * 1000)
    it = processor(wire, tmp_path, clock)
    await it.handle([message(sample(0), sample(0, host="host-2"))])
    await it.save({0})

    offsets = iter(range(1, 10))

    async def left_after(seconds: int) -> int:
        clock.advance(900)  # ours only says when to look
        await it.handle([message(sample(seconds, host="host-2"), offset=next(offsets))])
        return kept(tmp_path)

    assert await left_after(29 * DAY) == 2
    await it.handle([message(sample(29 * DAY), offset=next(offsets))])  # a sign of life
    assert await left_after(58 * DAY) == 2
    assert await left_after(60 * DAY) == 1
    await it.handle([message(sample(60 * DAY), offset=next(offsets))])
    assert wire.events("score")[-1]["warming_up"], "it is learned anew"


async def test_a_state_where_nobody_speaks_any_more_is_removed(tmp_path: Path) -> None:
    wire, clock = Wire(), ManualClock(T0 + 90 * DAY * 1000)
    first = processor(wire, tmp_path, clock)
    old = message(sample(0))
    await first.handle([Message(old.topic, 5, 0, old.key, old.value, T0)])
    await first.save({5})
    it = processor(wire, tmp_path, clock)
    for offset in (0, 1):
        clock.advance(900)
        await it.handle([message(sample(40 * DAY + offset, host="host-2"), offset=offset)])
    assert not list((tmp_path / "states" / "5").iterdir())


async def test_an_anomaly_names_the_processes_of_that_moment(tmp_path: Path) -> None:
    wire = Wire()
    it = processor(wire, tmp_path)
    await it.handle([message(*(sample(n) for n in range(30)))])
    (process, *_) = host_sample()["processes"]["top"]
    culprit = process | {"pid": 4711, "name": "cc1plus", "cpu_percent": 395.0}
    busy = [sample(n, cpu=99.0, processes={"top": [process, culprit]}) for n in range(30, 34)]
    later = [sample(n, cpu=99.0, processes=None) for n in range(34, 40)]  # not every sample has the section
    await it.handle([message(*busy, *later)])
    (opened,) = wire.events("anomaly")
    assert opened["top_processes"][0]["pid"] == 4711


async def test_an_anomaly_of_memory_names_first_who_holds_it(tmp_path: Path) -> None:
    wire = Wire()
    it = processor(wire, tmp_path)
    await it.handle([message(*(sample(n) for n in range(30)))])
    (process, *_) = host_sample()["processes"]["top"]
    busy = [process | {"pid": n, "cpu_percent": 50.0 + n, "memory_percent": 1.0} for n in range(5)]
    holder = process | {"pid": 4711, "cpu_percent": 0.1, "memory_percent": 60.0}
    swapping = host_sample()["swap"] | {"in_bytes_per_s": 9e7, "out_bytes_per_s": 9e7}
    await it.handle([message(*(sample(n, swap=swapping, processes={"top": [*busy, holder]}) for n in range(30, 40)))])
    (opened, *_) = wire.events("anomaly")
    assert opened["contributions"][0]["metric"].startswith("swap.")
    assert opened["top_processes"][0]["pid"] == 4711


async def test_a_disk_that_is_full_stops_nothing(tmp_path: Path) -> None:
    wire = Wire()
    (tmp_path / "states").write_text("nothing can be saved there")
    it = processor(wire, tmp_path)
    await it.handle([message(*(sample(n) for n in range(30)))])
    await it.handle([message(*(sample(n, cpu=99.0) for n in range(30, 40)))])
    assert [e["state"] for e in wire.events("anomaly")] == ["open"]


async def test_a_message_without_a_value_is_nothing(tmp_path: Path) -> None:
    wire = Wire()
    it = processor(wire, tmp_path)
    await it.handle([Message(METRICS.name, 0, 0, b"key", None, T0)])
    assert wire.sent == []
