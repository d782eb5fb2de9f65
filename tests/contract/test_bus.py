"""The promises of ``shared.bus.port``, on every broker there is."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from shared.bus import tailing
from shared.bus.kafka import MAX_MESSAGE_BYTES, UNKNOWN_LAG, admin, publisher, tail
from shared.bus.port import BusError, Message, Publisher, Tail
from shared.runtime.settings import Settings
from shared.schemas.topics import ALL_TOPICS, METRICS, Topic
from tests.support.broker import TestBus, embedded_broker, settings_for
from tests.support.waiting import eventually


@asynccontextmanager
async def publishing(settings: Settings, *, timeout: float = 30.0) -> AsyncIterator[Publisher]:
    it = publisher(settings.kafka, "test", timeout=timeout)
    await it.start()
    try:
        yield it
    finally:
        await it.stop()


@asynccontextmanager
async def reading(
    settings: Settings, *topics: Topic, recent: int | None = None
) -> AsyncIterator[tuple[Tail, list[Message]]]:
    it = tail(settings.kafka, topics, "test", recent=recent)
    seen: list[Message] = []

    async def read() -> None:
        async for batch in it.messages():
            seen.extend(batch)

    await it.start()
    task = asyncio.create_task(read())
    try:
        yield it, seen
    finally:
        await it.stop()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_what_was_published_is_read_as_it_was(bus: TestBus) -> None:
    topic = await bus.topic()
    async with publishing(bus.settings) as out, reading(bus.settings, topic) as (_, seen):
        await out.publish(topic, "host-1", b'{"a":1}', {"reason": b"none", "stage": b"test"})
        message = (await eventually(lambda: seen))[0]
        assert (message.topic, message.key, message.value) == (topic.name, b"host-1", b'{"a":1}')
        assert message.headers == {"reason": b"none", "stage": b"test"}
        assert message.timestamp_ms > 1_700_000_000_000


async def test_a_key_keeps_its_order_and_its_partition(bus: TestBus) -> None:
    topic = await bus.topic(partitions=4)
    async with publishing(bus.settings) as out, reading(bus.settings, topic) as (_, seen):
        for number in range(50):
            for host in ("a", "b", "c", "d", "e"):
                await out.publish(topic, host, b"%d" % number)
        await eventually(lambda: len(seen) == 250)
        for host in (b"a", b"b", b"c", b"d", b"e"):
            assert [int(m.value or b"") for m in seen if m.key == host] == list(range(50))
            assert len({m.partition for m in seen if m.key == host}) == 1


async def test_who_asks_first_is_first_even_when_nobody_waits(bus: TestBus) -> None:
    topic = await bus.topic(partitions=1)
    async with publishing(bus.settings) as out, reading(bus.settings, topic) as (_, seen):
        await asyncio.gather(*(out.publish(topic, "a", b"%d" % i) for i in range(300)))
        await eventually(lambda: len(seen) == 300)
    assert [int(m.value or b"") for m in seen] == list(range(300))


async def test_a_message_without_a_value_is_a_tombstone(bus: TestBus) -> None:
    topic = await bus.topic(compacted=True)
    async with publishing(bus.settings) as out, reading(bus.settings, topic) as (_, seen):
        await out.publish(topic, "silence:1", None)
        assert (await eventually(lambda: seen))[0].value is None


async def test_a_tail_sees_everything_or_the_last_few_or_only_what_comes(bus: TestBus) -> None:
    topic = await bus.topic(partitions=1)
    async with publishing(bus.settings) as out:
        for number in range(10):
            await out.publish(topic, "a", b"%d" % number)
        async with (
            reading(bus.settings, topic) as (_, everything),
            reading(bus.settings, topic, recent=3) as (_, last),
            reading(bus.settings, topic, recent=0) as (_, new),
        ):
            await out.publish(topic, "a", b"10")
            await eventually(lambda: everything and last and new and everything[-1].value == b"10" == last[-1].value)
            assert [int(m.value or b"") for m in everything] == list(range(11))
            assert [int(m.value or b"") for m in last] == [7, 8, 9, 10]
            assert [m.value for m in new] == [b"10"]


async def test_recent_beyond_the_beginning_is_the_beginning(bus: TestBus) -> None:
    topic = await bus.topic(partitions=1)
    async with publishing(bus.settings) as out:
        await out.publish(topic, "a", b"0")
        async with reading(bus.settings, topic, recent=1000) as (_, seen):
            await eventually(lambda: [m.value for m in seen] == [b"0"])


async def test_each_tail_sees_everything(bus: TestBus) -> None:
    topic = await bus.topic()
    async with (
        publishing(bus.settings) as out,
        reading(bus.settings, topic) as (_, one),
        reading(bus.settings, topic) as (_, two),
    ):
        for number in range(20):
            await out.publish(topic, str(number), b"x")
        await eventually(lambda: len(one) == len(two) == 20)


async def test_lag_is_what_has_not_been_handed_out(bus: TestBus) -> None:
    topic = await bus.topic(partitions=1)
    async with publishing(bus.settings) as out:
        for _ in range(7):
            await out.publish(topic, "a", b"x")
        it = tail(bus.settings.kafka, [topic], "test")
        assert it.lag() == UNKNOWN_LAG  # nobody has looked yet
        await it.start()
        assert it.lag() == 7
        batches = it.messages()
        got = 0
        while got < 7:
            got += len(await anext(batches))
        assert it.lag() == 0
        await it.stop()
        await batches.aclose()  # type: ignore[attr-defined]


async def test_a_tail_reads_a_topic_made_anew_and_is_not_behind_for_ever(bus: TestBus) -> None:
    topic = await bus.topic(partitions=1)
    async with publishing(bus.settings) as out, reading(bus.settings, topic) as (it, seen):
        for number in range(9):
            await out.publish(topic, "a", b"old %d" % number)
        await eventually(lambda: len(seen) == 9)
        await bus.delete(topic)
        await bus.made_anew(topic, partitions=1)
        await out.publish(topic, "a", b"new")
        await eventually(lambda: seen[-1].value == b"new")
        await eventually(lambda: it.lag() == 0)


async def test_a_message_that_is_too_large_is_refused_for_good(bus: TestBus) -> None:
    topic = await bus.topic()
    async with publishing(bus.settings) as out:
        with pytest.raises(BusError, match="too large") as refused:
            await out.publish(topic, "a", bytes(MAX_MESSAGE_BYTES + 1))
        assert refused.value.permanent
        await out.publish(topic, "a", b"and the next one is taken")


async def test_many_at_once_all_arrive(bus: TestBus) -> None:
    topic = await bus.topic(partitions=4)
    async with publishing(bus.settings) as out, reading(bus.settings, topic) as (_, seen):
        await asyncio.gather(*(out.publish(topic, str(i), b"%d" % i) for i in range(500)))
        await eventually(lambda: len(seen) >= 500)
        assert sorted(int(m.value or b"") for m in seen) == list(range(500))


async def test_creating_topics_again_changes_nothing(bus: TestBus) -> None:
    topic = await bus.topic()
    await admin(bus.settings.kafka).create([topic])
    await admin(bus.settings.kafka).create([topic])


async def test_a_missing_topic_is_created(bus: TestBus, request: pytest.FixtureRequest) -> None:
    if bus.kind == "embedded":
        request.applymarker(
            pytest.mark.xfail(strict=True, raises=BusError, reason="the embedded broker has no CreateTopics")
        )
    topic = Topic(f"test.{bus.name()}", "made by admin")
    await admin(bus.settings.kafka).create([topic])
    async with publishing(bus.settings) as out:
        await out.publish(topic, "a", b"x")


async def test_topics_are_made_with_their_partitions_retention_and_compaction(bus: TestBus) -> None:
    if bus.kind == "embedded":
        pytest.skip("the embedded broker keeps what it likes")
    kafka = bus.settings.kafka.model_copy(update={"partitions": 3})
    events = Topic(f"test.{bus.name()}", "events", retention_ms=3_600_000, retention_bytes=5 << 20)
    control = Topic(f"test.{bus.name()}", "control", compacted=True, segment_bytes=1 << 20)
    await admin(kafka).create([events, events.dlq, control, METRICS])

    partitions, settings = await _as_made(kafka.bootstrap_servers, [events, events.dlq, control, METRICS])
    assert {partitions[t.name] for t in (events, events.dlq, control)} == {3}
    kept = ("cleanup.policy", "retention.ms", "retention.bytes")
    assert [settings[events.name][name] for name in kept] == ["delete", "3600000", str(5 << 20)]
    assert [settings[events.dlq.name][name] for name in kept] == ["delete", str(7 * 86_400_000), str(256 << 20)]
    assert [settings[control.name][name] for name in ("cleanup.policy", "segment.bytes")] == ["compact", str(1 << 20)]
    assert [settings[METRICS.name][name] for name in kept] == ["delete", str(24 * 3_600_000), str(1 << 30)]


async def _as_made(address: str, topics: list[Topic]) -> tuple[dict[str, int], dict[str, dict[str, str]]]:
    """By topic: its partitions, and its settings, as the broker tells them."""
    names = [t.name for t in topics]
    client = AIOKafkaAdminClient(bootstrap_servers=address)
    await client.start()
    try:
        partitions = {t["topic"]: len(t["partitions"]) for t in await client.describe_topics(names)}
        answers = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
        settings = {
            name: {entry[0]: entry[1] for entry in entries}
            for answer in answers
            for _, _, _, name, entries in answer.resources
        }
        return partitions, settings
    finally:
        await client.close()


async def test_the_embedded_broker_says_which_topic_it_cannot_make(tmp_path: Path) -> None:
    with embedded_broker(ALL_TOPICS) as broker:
        with pytest.raises(BusError, match=r"cannot create topics, and some\.topic is missing") as refused:
            await admin(settings_for(broker.address, tmp_path).kafka).create([*ALL_TOPICS, Topic("some.topic", "")])
        assert refused.value.permanent


async def test_a_publisher_starts_without_a_broker_and_delivers_when_one_comes(tmp_path: Path) -> None:
    with embedded_broker() as broker:
        topic = ALL_TOPICS[0]
        broker.interrupt()
        settings = settings_for(broker.address, tmp_path)
        async with publishing(settings, timeout=1.0) as out:
            with pytest.raises(BusError, match="nothing listens at") as away:
                await out.publish(topic, "a", b"x")
            assert not away.value.permanent

            broker.resume()
            await eventually(lambda: published(out, topic))


async def test_an_outage_is_a_temporary_error_and_nothing_accepted_is_lost(tmp_path: Path) -> None:
    with embedded_broker(partitions=1) as broker:
        topic = ALL_TOPICS[0]
        settings = settings_for(broker.address, tmp_path)
        async with publishing(settings, timeout=1.0) as out, reading(settings, topic) as (_, seen):
            await eventually(lambda: published(out, topic, b"before"))
            await eventually(lambda: seen)

            broker.interrupt()
            for _ in range(3):
                with pytest.raises(BusError) as away:
                    await out.publish(topic, "a", b"during")
                assert not away.value.permanent
            broker.resume()

            await eventually(lambda: published(out, topic, b"after"))
            await eventually(lambda: seen[-1].value == b"after", that="the tail has found back")
            assert seen[0].value == b"before"


async def test_a_tail_starts_without_a_broker_and_reads_when_one_comes(tmp_path: Path) -> None:
    with embedded_broker(partitions=1) as broker:
        topic = ALL_TOPICS[0]
        settings = settings_for(broker.address, tmp_path)
        async with publishing(settings) as out:
            await out.publish(topic, "a", b"x")
            broker.interrupt()
            async with reading(settings, topic) as (it, seen):
                assert it.lag() == UNKNOWN_LAG
                await eventually(lambda: "nothing listens at" in (it.trouble() or ""))
                broker.resume()
                await eventually(lambda: seen)
                await eventually(lambda: it.lag() == 0 and it.trouble() is None)


async def test_a_tail_says_that_the_broker_went_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tailing, "SILENT_SECONDS", 1)
    with embedded_broker(partitions=1) as broker:
        async with reading(settings_for(broker.address, tmp_path), ALL_TOPICS[0]) as (it, _):
            await eventually(lambda: it.trouble() is None)
            broker.interrupt()
            await eventually(lambda: "nothing listens at" in (it.trouble() or ""))
            broker.resume()
            await eventually(lambda: it.trouble() is None)


async def test_where_nothing_listens_the_error_says_so(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets the port meanwhile
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(BusError, match=f"nothing listens at {address}: is the broker up"):
            await admin(settings_for(address, tmp_path).kafka).create(ALL_TOPICS)


async def test_a_broker_that_is_not_one_is_a_temporary_error_within_the_timeout(tmp_path: Path) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, publishing(settings_for(address, tmp_path), timeout=2.0) as out:
        with pytest.raises(BusError) as refused:
            await out.publish(ALL_TOPICS[0], "a", b"x")
        assert not refused.value.permanent


@pytest.mark.parametrize(
    ("kafka", "complaint"),
    [
        ({"security_protocol": "SASL_PLAINTEXT"}, "set LAPWING_KAFKA__USERNAME and LAPWING_KAFKA__PASSWORD"),
        ({"security_protocol": "SSL", "ssl_cafile": "/nowhere/ca.pem"}, "LAPWING_KAFKA__SSL_CAFILE: cannot use"),
        ({"security_protocol": "SSL", "ssl_certfile": "/nowhere/me.pem"}, "LAPWING_KAFKA__SSL_CERTFILE: cannot use"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(
    kafka: dict[str, object], complaint: str, tmp_path: Path
) -> None:
    settings = settings_for("127.0.0.1:9", tmp_path, kafka=kafka)
    for make in (
        lambda: publisher(settings.kafka, "test"),
        lambda: tail(settings.kafka, ALL_TOPICS, "test"),
        lambda: admin(settings.kafka),
    ):
        with pytest.raises(BusError, match=complaint) as refused:
            make()
        assert refused.value.permanent


async def published(out: Publisher, topic: Topic, value: bytes = b"x") -> bool:
    with suppress(BusError):
        await out.publish(topic, "a", value)
        return True
    return False
