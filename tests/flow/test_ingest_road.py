"""From the topic to the tables: ingest on a real broker and a real store, through whatever may happen on the way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.ingest.service import build
from shared.broker.embedded import EmbeddedBroker
from shared.bus.kafka import publisher, tail
from shared.bus.port import Message
from shared.runtime.clock import ManualClock
from shared.runtime.health import Health
from shared.runtime.lifecycle import Service
from shared.runtime.settings import Settings
from shared.schemas.topics import ALERTS, ANOMALIES, LOGS, METRICS, Topic
from shared.store.clickhouse import open_store
from shared.store.port import Store, StoreError
from tests.support.broker import embedded_broker, settings_for
from tests.support.samples import T0, host_sample
from tests.support.store import fresh_store  # noqa: F401
from tests.support.waiting import eventually

HOST = host_sample()["host_id"]


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with embedded_broker() as broker:
        yield broker


@pytest.fixture
def settings(broker: EmbeddedBroker, fresh_store: Settings) -> Settings:  # noqa: F811
    return settings_for(
        broker.address,
        fresh_store.data_dir,
        clickhouse={"dsn": fresh_store.clickhouse.dsn},
        ingest={"batch_seconds": 0.2, "batch_events": 100},
    )


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    handle = await open_store(settings, "test")
    yield handle
    await handle.close()


@pytest.fixture
def clock() -> ManualClock:
    """A little after the samples' own time."""
    return ManualClock(T0 + 30_000)


@asynccontextmanager
async def ingesting(
    settings: Settings, clock: ManualClock, *, session_timeout: float = 1.5, **fakes: Any
) -> AsyncIterator[Service]:
    # The embedded broker makes a group wait for about a session before a new member may join.
    service = build(settings, clock=clock, session_timeout=session_timeout, **fakes)
    watching: asyncio.Task[None] | None = None
    try:
        await service.start()
        watching = asyncio.create_task(service.watch())
        yield service
    finally:
        await service.stop()
        if watching:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


async def send(settings: Settings, topic: Topic, *values: bytes, key: str = HOST) -> None:
    out = publisher(settings.kafka, "test")
    await out.start()
    for value in values:
        await out.publish(topic, key, value)
    await out.stop()


async def dead_letters(settings: Settings, topic: Topic, count: int) -> list[Message]:
    reader = tail(settings.kafka, [topic.dlq], "test")
    await reader.start()
    found: list[Message] = []
    try:
        async with asyncio.timeout(60):
            async for batch in reader.messages():
                found += batch
                if len(found) >= count:
                    break
    finally:
        await reader.stop()
    return found


def line(second: int = 0, **overrides: Any) -> bytes:
    ts = T0 + second * 1000
    return json.dumps(host_sample(ts=ts, event_id=f"{HOST}-{ts}", seq=abs(second), **overrides)).encode()


def counting(store: Store, table: str) -> Callable[[], Awaitable[int]]:
    async def count() -> int:
        return int((await store.query(f"SELECT count() FROM {table} FINAL"))[0][0])

    return count


async def until_stored(store: Store, rows: int, table: str = "samples") -> None:
    async def there() -> bool:
        return await counting(store, table)() >= rows

    await eventually(there, that=f"{rows} rows in {table}")
    assert await counting(store, table)() == rows


async def test_what_is_sent_can_be_asked_for(settings: Settings, store: Store, clock: ManualClock) -> None:
    async with ingesting(settings, clock):
        await send(settings, METRICS, line(0), line(1) + b"\n" + line(2) + b"\n")
        await until_stored(store, 3)
    assert await store.query("SELECT cpu_percent / 10, sections FROM samples FINAL LIMIT 1") == [(23.4, 63)]
    assert await store.query("SELECT DISTINCT mountpoint, percent / 10 FROM disks FINAL ORDER BY mountpoint") == [
        ("/", 64.2),
        ("/srv/data", 45.0),
    ]
    assert await store.query("SELECT host, labels FROM hosts FINAL") == [("web-1", {"role": "web", "rack": "b4"})]


async def test_every_topic_has_its_tables(settings: Settings, store: Store, clock: ManualClock) -> None:
    base = {"ts": T0, "host_id": HOST, "host": "web-1"}
    score = {"kind": "score", "event_id": "s", "score": 1.25, "metrics": {"cpu.percent": 0.5}, **base}
    anomaly = {
        "kind": "anomaly",
        "event_id": "a",
        "anomaly_id": "A1",
        "state": "open",
        "score": 1.5,
        "peak_score": 2.0,
        "started_at": T0 - 5000,
        "summary": "odd",
        "contributions": [{"metric": "cpu.percent", "share": 1.0, "value": 99, "expected_low": 1, "expected_high": 9}],
        "top_processes": host_sample()["processes"]["top"],
        **base,
    }
    alert = {
        "kind": "alert",
        "event_id": "al",
        "alert_id": "L1",
        "fingerprint": "f",
        "rule": "cpu",
        "state": "firing",
        "previous_state": "pending",
        "severity": "critical",
        "started_at": T0 - 1000,
        "value": 97.5,
        **base,
    }
    delivery = {
        "kind": "delivery",
        "event_id": "d",
        "notification_id": "N1",
        "host_id": HOST,
        "receiver": "ops",
        "ts": T0,
        "channel": "webhook",
        "status": "firing",
        "alert_ids": ["L1"],
        "attempt": 1,
        "outcome": "delivered",
    }
    log = {"kind": "log", "event_id": "l", "source": "sshd", "message": "<b>'); DROP TABLE logs; --\0", **base}
    async with ingesting(settings, clock):
        await send(settings, ANOMALIES, encoded(score), encoded(anomaly))
        await send(settings, ALERTS, encoded(alert) + b"\n" + encoded(delivery))
        await send(settings, LOGS, encoded(log))
        for table in ("scores", "anomalies", "alerts", "alert_events", "deliveries", "logs"):
            await until_stored(store, 1, table)
    assert await store.query("SELECT score / 1000, metrics FROM scores") == [(1.25, {"cpu.percent": 0.5})]
    ((contributions, processes),) = await store.query("SELECT contributions, top_processes FROM anomalies FINAL")
    assert json.loads(contributions) == anomaly["contributions"]
    assert json.loads(processes) == anomaly["top_processes"]
    assert await store.query("SELECT state, value, threshold FROM alerts FINAL") == [("firing", 97.5, None)]
    assert await store.query("SELECT message FROM logs") == [(log["message"],)]


def encoded(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode()


async def test_a_poisoned_message_costs_only_itself(settings: Settings, store: Store, clock: ManualClock) -> None:
    poison = {
        "not JSON": b"\x00\xff garbage",
        "the wrong shape": b'["a", "list"]',
        "a missing host": line(1, host_id=None),
        "an impossible percentage": line(2, cpu={"percent": 500.0}),
        "a number that no column holds": line(3, memory={"total": 2**70}),
        "nesting without end": b'{"x":' + b"[" * 100_000,
        "bytes that are no text": line(4).replace(b"web-1", b"web-\xff\xfe"),
        "minus zero, which only the store minds": line(5).replace(b'"seq": 5', b'"seq": -0'),
    }
    async with ingesting(settings, clock):
        await send(settings, METRICS, line(100), *poison.values(), b"", line(101))
        mixed = b"\n".join([line(102), *poison.values(), line(103)])
        await send(settings, METRICS, mixed)
        await until_stored(store, 4)
        letters = await dead_letters(settings, METRICS, 2 * len(poison) + 1)
        # The partition goes on.
        await send(settings, METRICS, line(104))
        await until_stored(store, 5)
    assert len(letters) == 2 * len(poison) + 1
    by_value: dict[bytes, list[Message]] = {}
    for letter in letters:
        by_value.setdefault(letter.value or b"", []).append(letter)
    for name, value in poison.items():
        alone, in_company = by_value[value], by_value[value]
        assert alone and in_company, name
        assert all(m.headers["reason"] for m in by_value[value]), name
    (percent,) = {m.headers["reason"] for m in by_value[poison["an impossible percentage"]]}
    assert b"cpu.percent" in percent and b"100" in percent
    assert {m.headers["stage"] for m in by_value[poison["minus zero, which only the store minds"]]} == {b"store"}
    headers = by_value[poison["the wrong shape"]][0].headers
    assert headers["topic"] == METRICS.name.encode() and headers["host"] == HOST.encode()
    assert {m.headers["line"] for m in by_value[poison["not JSON"]]} == {b"1", b"2"}
    assert int(headers["offset"]) >= 0 and int(headers["failed_at"]) == clock.now_ms()


async def test_events_of_an_impossible_time_are_put_aside(settings: Settings, store: Store, clock: ManualClock) -> None:
    tomorrow, last_year = line(86_400), line(-365 * 86_400)
    async with ingesting(settings, clock):
        await send(settings, METRICS, tomorrow, line(0), last_year, line(-3600))
        await until_stored(store, 2)
        letters = await dead_letters(settings, METRICS, 2)
    reasons = {m.value: m.headers["reason"].decode() for m in letters}
    assert "in the future" in reasons[tomorrow] and "older than what is kept" in reasons[last_year]


class Moody:
    """A store that refuses to write while ``away`` is set."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.away: StoreError | None = None
        self.refused = 0

    async def insert_lines(self, table: str, lines: bytes, *, token: str | None = None) -> None:
        if self.away:
            self.refused += 1
            raise self.away
        await self._store.insert_lines(table, lines, token=token)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_nothing_is_lost_while_the_store_refuses(settings: Settings, store: Store, clock: ManualClock) -> None:
    moody: list[Moody] = []

    async def opening(settings: Settings, role: str) -> Store:
        moody.append(Moody(await open_store(settings, role)))
        return moody[-1]  # type: ignore[return-value]

    health = Health()
    async with ingesting(settings, clock, open_store=opening, health=health):
        moody[0].away = StoreError("Memory limit exceeded")
        await send(settings, METRICS, *(line(second) for second in range(50)))
        await eventually(lambda: moody[0].refused >= 3)
        assert Health.failures(health.warnings) == {"ingest: store": "Memory limit exceeded"}
        assert Health.failures(health.progress) == {}
        assert await counting(store, "samples")() == 0
        moody[0].away = None
        await until_stored(store, 50)
        await eventually(lambda: not Health.failures(health.warnings))


async def test_stopped_in_mid_batch_and_started_again_it_stores_everything_once(
    settings: Settings, store: Store, clock: ManualClock
) -> None:
    """The store takes the batch but the answer is lost, and then ingest is stopped: all of it comes again."""

    class Forgetful(Moody):
        async def insert_lines(self, table: str, lines: bytes, *, token: str | None = None) -> None:
            await self._store.insert_lines(table, lines, token=token)
            self.refused += 1
            raise StoreError("the connection was lost")

    forgetful: list[Forgetful] = []

    async def opening(settings: Settings, role: str) -> Store:
        forgetful.append(Forgetful(await open_store(settings, role)))
        return forgetful[-1]  # type: ignore[return-value]

    await store.command("SYSTEM STOP MERGES samples")  # one would remove the repeats this is about
    async with ingesting(settings, clock, open_store=opening):
        await send(settings, METRICS, *(line(second) for second in range(40)))
        await eventually(lambda: forgetful[0].refused >= 1)
    async with ingesting(settings, clock):
        await send(settings, METRICS, *(line(second) for second in range(40, 50)))
        await until_stored(store, 50)
        clock.advance(120)
        await until_answer(store, CPU_MINUTES, [(50, 23.4)])
    assert await store.query("SELECT count() FROM samples") != [(50,)], "the test is about repeats, and there were none"


CPU_MINUTES = "SELECT count, round(avg, 6) FROM rollup_1m FINAL WHERE metric = 'cpu.percent' ORDER BY ts"


async def until_answer(store: Store, sql: str, rows: list[tuple[Any, ...]]) -> None:
    async def answered() -> bool:
        found = await store.query(sql)
        assert found == rows
        return True

    await eventually(answered, that=sql)


async def test_minutes_are_rolled_up_when_they_close_and_again_when_something_comes_late(
    settings: Settings, store: Store, clock: ManualClock
) -> None:
    def busy(second: int, percent: float) -> bytes:
        return line(second, cpu={"percent": percent})

    async with ingesting(settings, clock):
        await send(settings, METRICS, busy(0, 10.0), busy(1, 20.0), busy(61, 50.0))
        await until_stored(store, 3)
        assert await store.query(CPU_MINUTES) == [], "no minute has closed yet"
        clock.advance(60)
        await until_answer(store, CPU_MINUTES, [(2, 15.0)])  # the second minute is still open
        await send(settings, METRICS, busy(2, 60.0))
        await until_stored(store, 4)
        clock.advance(60)

        await until_answer(store, CPU_MINUTES, [(3, 30.0), (1, 50.0)])
        by_label = (
            "SELECT label, count, max FROM rollup_1m FINAL WHERE metric = 'disk.percent' "
            "AND ts = (SELECT min(ts) FROM rollup_1m) ORDER BY label"
        )
        await until_answer(store, by_label, [("/", 3, 64.2), ("/srv/data", 3, 45.0)])


async def test_minutes_stored_by_a_process_that_died_are_rolled_up_by_the_next(
    settings: Settings, store: Store, clock: ManualClock
) -> None:
    async with ingesting(settings, clock):
        await send(settings, METRICS, line(0), line(1))
        await until_stored(store, 2)
    assert await store.query(CPU_MINUTES) == []
    clock.advance(3600)
    async with ingesting(settings, clock):
        await until_answer(store, CPU_MINUTES, [(2, 23.4)])
        await until_answer(store, CPU_MINUTES.replace("rollup_1m", "rollup_1h"), [(2, 23.4)])
