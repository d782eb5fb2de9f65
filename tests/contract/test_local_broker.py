"""The manners of an Apache Kafka of our own, on a real one; what it promises as a broker is in ``test_bus.py``."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.broker.embedded import BrokerError
from shared.broker.local import LocalKafka
from shared.bus.kafka import admin, publisher, tail
from shared.runtime.settings import KafkaSettings
from shared.schemas.topics import Topic
from tests.support.waiting import eventually

pytestmark = [pytest.mark.usefixtures("kafka_at_hand"), pytest.mark.timeout(400)]

TOPIC = Topic("test.kept", "a test")


def settings(kafka: LocalKafka) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=kafka.address, partitions=1)


async def publish(kafka: LocalKafka, *values: bytes) -> None:
    await admin(settings(kafka)).create([TOPIC])
    out = publisher(settings(kafka), "test")
    await out.start()
    for value in values:
        await out.publish(TOPIC, "a", value)
    await out.stop()


async def kept(kafka: LocalKafka, count: int) -> list[bytes | None]:
    """What is on the topic, once ``count`` messages are."""
    it = tail(settings(kafka), [TOPIC], "test")
    await it.start()
    seen: list[bytes | None] = []
    async with asyncio.timeout(60):  # Kafka may just be coming back on a busy machine
        async for batch in it.messages():
            seen += [message.value for message in batch]
            if len(seen) >= count:
                break
    await it.stop()
    return seen


async def group_offset(kafka: LocalKafka, *, commit: int | None = None) -> int | None:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.address, group_id="test", enable_auto_commit=False)
    await consumer.start()
    partition = TopicPartition(TOPIC.name, 0)
    try:
        consumer.assign([partition])
        if commit is not None:
            await consumer.commit({partition: commit})
        return await consumer.committed(partition)
    finally:
        await consumer.stop()


async def eventually_at_offset(kafka: LocalKafka, offset: int) -> None:
    """Not at once: aiokafka takes a group whose offsets are still being loaded for one that never committed."""

    async def is_there() -> bool:
        return await group_offset(kafka) == offset

    await eventually(is_there)


def javas(home: Path) -> list[psutil.Process]:
    """Every process of the Kafka of that directory, its leash included."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(str(home) in word for word in process.cmdline()[1:]) and process.pid != os.getpid():
                found.append(process)
    return found


async def test_messages_offsets_and_address_stay_from_start_to_start(tmp_path: Path) -> None:
    kafka = LocalKafka(tmp_path)
    await kafka.start()
    await publish(kafka, b"1", b"2")
    await group_offset(kafka, commit=1)
    await kafka.stop()
    await kafka.stop()
    assert javas(tmp_path) == []

    again = LocalKafka(tmp_path)
    assert again.address == kafka.address
    await again.start()
    try:
        assert await kept(again, 2) == [b"1", b"2"]
        await eventually_at_offset(again, 1)

        # Killed, it says so, and comes back with everything.
        assert again.pid
        os.kill(again.pid, signal.SIGKILL)
        with pytest.raises(BrokerError, match="SIGKILL"):
            await asyncio.wait_for(again.watch(), 60)
        await again.stop()
        await again.start()
        await publish(again, b"3")
        assert await kept(again, 3) == [b"1", b"2", b"3"]
        await eventually_at_offset(again, 1)
    finally:
        await again.stop()


async def test_it_is_started_again_as_often_as_allowed(tmp_path: Path) -> None:
    kafka = LocalKafka(tmp_path, revivals=1)
    await kafka.start()
    watching = asyncio.create_task(kafka.watch())
    try:
        await publish(kafka, b"1")
        first = kafka.pid
        assert first
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: kafka.pid != first)
        assert await kept(kafka, 1) == [b"1"]
        assert kafka.pid
        os.kill(kafka.pid, signal.SIGKILL)
        with pytest.raises(BrokerError, match="SIGKILL"):
            await asyncio.wait_for(watching, 60)
    finally:
        await kafka.stop()


async def test_on_a_full_disk_it_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    room = usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shared.broker.local.shutil.disk_usage", lambda _: room)
    kafka = LocalKafka(tmp_path, revivals=1)
    room = usage._replace(free=1 << 20)
    with pytest.raises(BrokerError, match="kafka has 1 MB left, Apache Kafka needs 64"):
        await kafka.start()
    room = usage
    await kafka.start()
    watching = asyncio.create_task(kafka.watch())
    try:
        await publish(kafka, b"1")
        first = kafka.pid
        assert first
        room = usage._replace(free=1 << 20)
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: "waiting for room on the disk" in caplog.text)
        assert kafka.pid == first
        room = usage
        await eventually(lambda: kafka.pid != first)
        assert await kept(kafka, 1) == [b"1"]
    finally:
        watching.cancel()
        await kafka.stop()


async def test_when_its_ports_were_taken_it_moves_and_keeps_what_it_has(tmp_path: Path) -> None:
    kafka = LocalKafka(tmp_path)
    await kafka.start()
    await publish(kafka, b"1")
    await kafka.stop()
    first, second = map(int, (tmp_path / "kafka" / "ports").read_text().split())
    with taken(first, second):
        moved = LocalKafka(tmp_path)
        assert moved.address != kafka.address
        await moved.start()
        try:
            assert await kept(moved, 1) == [b"1"]
        finally:
            await moved.stop()
    assert LocalKafka(tmp_path).address == moved.address


class taken:
    """Somebody else listens on these ports."""

    def __init__(self, *ports: int) -> None:
        self._sockets = [socket.create_server(("127.0.0.1", port)) for port in ports]

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        for it in self._sockets:
            it.close()


async def test_it_listens_on_the_loopback_only(local_kafka: LocalKafka) -> None:
    listening = [c for c in psutil.Process(local_kafka.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert {c.laddr.ip.removeprefix("::ffff:") for c in listening} == {"127.0.0.1"}
    assert local_kafka.address in {f"127.0.0.1:{c.laddr.port}" for c in listening}
    assert len(listening) == 2


async def test_any_place_and_any_cluster_id_will_do_and_our_secrets_are_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_bytes", lambda size: b"\xfb" * size)  # begins with a dash in base64
    monkeypatch.setenv("LAPWING_ADMIN_PASSWORD", "do not tell")
    monkeypatch.setenv("LC_ALL", "C")
    kafka = LocalKafka(tmp_path / "Übung, a:b = c #")
    await kafka.start()
    try:
        assert not [name for name in psutil.Process(kafka.pid).environ() if name.startswith("LAPWING_")]
    finally:
        await kafka.stop()


HOLD = """
import asyncio, sys
from pathlib import Path
from shared.broker.local import LocalKafka

async def main():
    kafka = LocalKafka(Path(sys.argv[1]))
    await kafka.start()
    print(kafka.pid, flush=True)
    await kafka.watch()

asyncio.run(main())
"""


async def test_killed_we_leave_no_orphan_and_the_next_one_starts(tmp_path: Path) -> None:
    holder = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLD, str(tmp_path), stdout=subprocess.PIPE)
    assert holder.stdout
    pid = int(await asyncio.wait_for(holder.stdout.readline(), 100))
    assert psutil.pid_exists(pid)
    holder.kill()
    await holder.wait()
    await eventually(lambda: not javas(tmp_path))

    kafka = LocalKafka(tmp_path)
    await kafka.start()
    try:
        await publish(kafka, b"1")
    finally:
        await kafka.stop()


async def test_what_kafka_cannot_work_with_is_said(tmp_path: Path) -> None:
    kafka = LocalKafka(tmp_path, properties={"log.retention.ms": "soon"})
    with pytest.raises(BrokerError, match=r"log\.retention\.ms"):
        await kafka.start()
    await kafka.stop()
    assert javas(tmp_path) == []
    # The mistake mended, it starts: nothing half-made is left in its way.
    mended = LocalKafka(tmp_path)
    await mended.start()
    await mended.stop()


@pytest.mark.parametrize("main_class", ["StorageTool", "kafka.Kafka"])
async def test_given_up_in_the_middle_of_its_start_it_leaves_nothing_behind(tmp_path: Path, main_class: str) -> None:
    kafka = LocalKafka(tmp_path)
    starting = asyncio.create_task(kafka.start())

    def it_runs() -> Sequence[psutil.Process]:
        return [p for p in javas(tmp_path) if any(main_class in word for word in p.cmdline())]

    await eventually(lambda: starting.done() or it_runs())
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await kafka.stop()
    await eventually(lambda: not javas(tmp_path))
    await kafka.start()
    assert re.fullmatch(r"127\.0\.0\.1:\d+", kafka.address)
    await kafka.stop()
