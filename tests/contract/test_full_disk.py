"""On a disk that somebody fills to the last byte: the embedded engine, Apache Kafka, the agent's spool."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.agent.spool import IN_MEMORY, Position, Spool
from services.ingest.broken_parts import tell_broken_parts
from shared.broker.local import LocalKafka
from shared.bus.kafka import admin, publisher, tail
from shared.bus.port import BusError
from shared.runtime.clock import ManualClock
from shared.runtime.settings import KafkaSettings, Settings
from shared.schemas.codec import encode
from shared.schemas.topics import Topic
from shared.store.clickhouse import open_store
from shared.store.migrate import migrate
from shared.store.port import StoreError
from tests.support.apart import apart
from tests.support.chaos.disk import CannotMount, Disk, small_disk
from tests.support.samples import T0, host_sample
from tests.support.waiting import eventually
from tests.unit.agent.fakes import line, numbers

FILLINGS = 12
LINES = 20


TOPIC = Topic("test.full", "a test")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    root = tmp_path / "disk"
    root.mkdir()
    try:
        with small_disk(root, "700m") as disk:
            yield disk
    except CannotMount as why:
        pytest.skip(f"no disk can be filled here: {why}")


async def test_what_was_taken_is_there_after_a_restart(disk: Disk, tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path / "disk"})
    inserting = asyncio.create_task(asyncio.to_thread(apart, _insert_until_told, settings, tmp_path))
    for _ in range(FILLINGS):
        begun = _said(tmp_path)
        await eventually(lambda begun=begun: _said(tmp_path)["taken"] > begun["taken"] or inserting.done(), 60)
        disk.fill()
        await eventually(lambda begun=begun: _said(tmp_path)["refused"] > begun["refused"] or inserting.done(), 60)
        disk.free()
    (tmp_path / "enough").touch()
    taken = await inserting

    assert taken == _said(tmp_path)["taken"] > FILLINGS
    stored, broken = await asyncio.to_thread(apart, _count, settings)
    assert (stored, broken) == (taken * LINES, {})


@pytest.mark.usefixtures("kafka_at_hand")
@pytest.mark.timeout(400)
async def test_what_kafka_confirmed_is_there_when_there_is_room_again(disk: Disk, tmp_path: Path) -> None:
    kafka = LocalKafka(tmp_path / "disk", revivals=3)
    await kafka.start()
    settings = KafkaSettings(bootstrap_servers=kafka.address, partitions=1)
    await admin(settings).create([TOPIC])
    out = publisher(settings, "test", timeout=5.0)
    await out.start()
    watching = asyncio.create_task(kafka.watch())
    confirmed: list[int] = []
    refusals: list[BusError] = []

    async def publish(number: int) -> bool:
        try:
            await out.publish(TOPIC, "a", b"%d " % number + bytes(300_000))
        except BusError as error:
            refusals.append(error)
            return False
        confirmed.append(number)
        return True

    try:
        await eventually(lambda: publish(0))
        disk.fill()
        number = 1
        while not refusals:
            await publish(number)
            number += 1
        assert not refusals[0].permanent and "test.full" in str(refusals[0]), "the caller keeps it and tries again"
        disk.free()
        await eventually(lambda: publish(number), within=120)
        assert not watching.done()
        found = await _on_the_topic(settings, confirmed[-1])
        assert set(confirmed) <= set(found)
    finally:
        watching.cancel()
        await out.stop()
        await kafka.stop()


async def _on_the_topic(settings: KafkaSettings, last: int) -> list[int]:
    reader = tail(settings, [TOPIC], "test")
    await reader.start()
    found: list[int] = []
    try:
        async with asyncio.timeout(60):
            async for messages in reader.messages():
                found += [int((message.value or b"").split()[0]) for message in messages]
                if last in found:
                    break
    finally:
        await reader.stop()
    return found


async def test_what_an_agent_measures_meanwhile_waits_in_memory(disk: Disk, tmp_path: Path) -> None:
    clock = ManualClock()
    spool = Spool(tmp_path / "disk" / "spool", 1 << 24, 3600.0, clock)
    spool.open()
    spool.append([line(0)])
    disk.fill()
    spool.append([line(number) for number in range(1, 2000)])
    assert spool.end.segment == IN_MEMORY
    disk.free()
    spool.append([line(2000)])
    assert spool.end.segment != IN_MEMORY
    spool.close()
    assert spool.lost.total == 0
    again = Spool(tmp_path / "disk" / "spool", 1 << 24, 3600.0, clock)
    again.open()
    batch = again.read(Position(), 1 << 24)
    assert batch and numbers(batch.lines) == list(range(2001)), "in order, none twice, none half"


def _said(tmp_path: Path) -> dict[str, int]:
    try:
        said: dict[str, int] = json.loads((tmp_path / "said").read_text())
    except FileNotFoundError:
        return {"taken": 0, "refused": 0}
    return said


async def _insert_until_told(settings: Settings, tmp_path: Path) -> int:
    """The same lines again until they are taken, then the next; what is known of it is in the file ``said``."""
    store = await open_store(settings, "test")
    await migrate(settings, store)
    taken = refused = 0
    while not (tmp_path / "enough").exists():
        try:
            await store.insert_lines("landing_metrics", _lines(taken))
            taken += 1
        except StoreError as error:
            assert not error.permanent, error
            refused += 1
        (tmp_path / "new").write_text(json.dumps({"taken": taken, "refused": refused}))
        (tmp_path / "new").rename(tmp_path / "said")
    await store.close()
    return taken


def _lines(portion: int) -> bytes:
    return b"\n".join(encode(host_sample(ts=T0 + portion * LINES + line, seq=portion)) for line in range(LINES))


async def _count(settings: Settings) -> tuple[int, dict[str, Any]]:
    store = await open_store(settings, "test")
    [(rows,)] = await store.query("SELECT count() FROM samples FINAL")
    broken = await tell_broken_parts(store, {})
    await store.close()
    return rows, broken
