"""Evidence as a real store gives it: points, logs, processes, the last time; and what there is when it does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import pytest

from services.alerter.evidence.port import Gathered, LogLine, Similar
from services.alerter.evidence.stored import Stored
from shared.runtime.settings import Settings
from shared.schemas.anomaly import Anomaly, Contribution
from shared.schemas.codec import encode, pack
from shared.schemas.log import LogEvent
from shared.store.clickhouse import open_store
from shared.store.port import Store, StoreError
from tests.support.samples import T0, host_sample
from tests.support.store import fresh_store  # noqa: F401
from tests.unit.alerter.support import alert

HOST = "4f1d2c3b5a69788796a5b4c3d2e1f001"


@pytest.fixture
async def store(fresh_store: Settings) -> AsyncIterator[Store]:  # noqa: F811
    handle = await open_store(fresh_store, "test")
    yield handle
    await handle.close()


@pytest.fixture
async def evidence(fresh_store: Settings) -> AsyncIterator[Stored]:  # noqa: F811
    stored = Stored(lambda: open_store(fresh_store, "evidence"), within_s=20)
    yield stored
    await stored.close()


def sample(seconds: int, **sections: Any) -> bytes:
    at = T0 + seconds * 1000
    return encode(host_sample(ts=at, event_id=f"{HOST}-{at}", **sections))


async def fill(store: Store, table: str, lines: Iterable[bytes]) -> None:
    await store.insert_lines(table, pack(lines))


def fired(alert_id: str = "a", **more: Any) -> Any:
    """Thirty seconds ago, of a value that the store does not have yet."""
    return alert(alert_id, host_id=HOST, started_at=T0, ts=T0 + 30_000, **more)


async def test_what_came_before_is_there_and_the_newest_value_is_the_alerts_own(store: Store, evidence: Stored) -> None:
    await fill(store, "landing_metrics", (sample(s, cpu={"percent": 20.0 + s % 3}) for s in range(-1700, 20)))
    found = await evidence.gather(fired(value=97.5), T0 + 31_000)
    assert (found.metric, found.instance, found.threshold) == ("cpu.percent", "", 90.0)
    assert 150 < len(found.points) <= 240
    assert found.points[-1] == (T0 + 30_000, 97.5)
    assert [t for t, _ in found.points] == sorted(t for t, _ in found.points)
    # Each bucket is as bad as its worst reading: what is short is not averaged away.
    assert {v for _, v in found.points[1:-2]} == {22.0}


async def test_below_is_bad_where_it_is(store: Store, evidence: Stored) -> None:
    await fill(store, "landing_metrics", (sample(s, cpu={"percent": 20.0 + s % 3}) for s in range(-1700, 20)))
    found = await evidence.gather(fired(value=1.0, threshold=5.0), T0 + 31_000)
    assert {v for _, v in found.points[1:-2]} == {20.0}


async def test_of_a_labelled_metric_the_instance_counts(store: Store, evidence: Stored) -> None:
    def disks(s: int) -> list[dict[str, Any]]:
        one = host_sample()["disks"][0]
        return [
            one | {"mountpoint": mount, "percent": percent + s / 1000}
            for mount, percent in (("/", 10.0), ("/d'b", 98.0))
        ]

    await fill(store, "landing_metrics", (sample(s, disks=disks(s)) for s in range(-300, 20, 10)))
    about = fired(metric="disk.percent", labels={"mountpoint": "/d'b", "instance": "/d'b"}, value=98.5, threshold=98.0)
    found = await evidence.gather(about, T0 + 31_000)
    assert found.instance == "/d'b"
    assert len(found.points) > 20
    assert all(v > 97 for _, v in found.points)


async def test_the_largest_processes_are_named_by_what_the_alert_is_about(store: Store, evidence: Stored) -> None:
    one = host_sample()["processes"]["top"][0]
    top = [
        one | {"pid": 7, "name": "busy", "cpu_percent": 96.0, "memory_percent": 1.0},
        one | {"pid": 8, "name": "large", "cpu_percent": 1.0, "memory_percent": 60.0},
    ]
    await fill(store, "landing_metrics", [sample(10, processes=host_sample()["processes"] | {"top": top})])
    cpu = await evidence.gather(fired(), T0 + 31_000)
    memory = await evidence.gather(fired(metric="memory.percent"), T0 + 31_000)
    disk = await evidence.gather(fired(metric="disk.percent"), T0 + 31_000)
    assert cpu.processes[0] == "busy (pid 7): 96 % cpu, 1.0 % memory"
    assert memory.processes[0] == "large (pid 8): 1 % cpu, 60.0 % memory"
    assert disk.processes == ()
    known = await evidence.gather(fired(annotations={"top_processes": "known already"}), T0 + 31_000)
    assert known.processes == ()


async def test_serious_logs_near_it_come_first_and_are_in_order(store: Store, evidence: Stored) -> None:
    def line(n: int, level: Any, seconds: float, host_id: str = HOST) -> bytes:
        at = T0 + round(seconds * 1000)
        return encode(
            LogEvent(event_id=f"{n}", ts=at, host_id=host_id, host="web1", source="app", level=level, message=f"m{n}")
        )

    chatter = [line(n, "info", -100 + n) for n in range(50)]
    await fill(
        store,
        "landing_logs",
        [
            *chatter,
            *(line(60, "error", 5), line(61, "warning", -90), line(62, "error", -500), line(63, "error", 500)),
            line(64, "error", 1, host_id="another"),
        ],
    )
    found = await evidence.gather(fired(), T0 + 600_000)
    assert len(found.logs) == 8
    assert found.logs[0] == LogLine(T0 - 90_000, "warning", "app", "m61")
    assert found.logs[-1] == LogLine(T0 + 5000, "error", "app", "m60")
    assert [x.message for x in found.logs[1:-1]] == [f"m{n}" for n in range(44, 50)]


async def test_the_last_time_is_the_last_before_this_one(store: Store, evidence: Stored) -> None:
    day = 86_400_000

    def episode(alert_id: str, at: int, value: float, **more: Any) -> list[bytes]:
        return [
            encode(alert(alert_id, host_id=HOST, started_at=at, ts=at + 1000, value=value, **more)),
            encode(alert(alert_id, host_id=HOST, started_at=at, ts=at + 60_000, value=5.0, state="resolved", **more)),
        ]

    await fill(
        store,
        "landing_alerts",
        [
            *episode("older", T0 - 3 * day, 99.0),
            *episode("last", T0 - 2 * day, 96.0),
            *episode("other", T0 - day, 91.0, fingerprint="another"),
            *episode("later", T0 + day, 92.0),
        ],
    )
    found = await evidence.gather(fired(), T0 + 31_000)
    assert found.similar == Similar("last", T0 - 2 * day, T0 - 2 * day + 60_000, 96.0)


async def test_of_an_anomaly_the_metric_that_made_it_is_shown_with_what_is_usual(
    store: Store, evidence: Stored
) -> None:
    await fill(store, "landing_metrics", (sample(s, cpu={"percent": 20.0}) for s in range(-60, 10)))
    found_anomaly = Anomaly(
        event_id="x",
        ts=T0 + 20_000,
        anomaly_id="an'1",
        host_id=HOST,
        host="web1",
        state="open",
        score=3.0,
        peak_score=3.0,
        started_at=T0,
        contributions=[
            Contribution(metric="memory.percent", share=0.2, value=50, expected_low=1, expected_high=2),
            Contribution(metric="cpu.percent", share=0.8, value=88.0, expected_low=3.0, expected_high=25.0),
        ],
    )
    about = fired(condition="anomaly", rule="anomaly", value=3.0, threshold=1.0, anomaly_id="an'1")
    before = await evidence.gather(about, T0 + 31_000)
    assert (before.metric, before.threshold) == ("host.score", 1.0)  # it is not stored yet
    await fill(store, "landing_anomalies", [encode(found_anomaly)])
    after = await evidence.gather(about, T0 + 31_000)
    assert (after.metric, after.expected, after.threshold) == ("cpu.percent", (3.0, 25.0), None)
    assert after.points[-1] == (T0 + 20_000, 88.0)
    assert len(after.points) > 5


async def test_of_an_anomaly_that_the_store_does_not_have_yet_the_metric_that_it_names_is_shown(
    store: Store, evidence: Stored
) -> None:
    await fill(store, "landing_metrics", (sample(s, memory={"percent": 30.0 + s / 100}) for s in range(-300, 20)))
    said = {"contributions": "memory.percent 33.0 % (usually 0.0 % to 30.0 %)"}
    about = fired(metric="", condition="anomaly", anomaly_id="not yet", annotations=said, value=3.0, threshold=1.0)
    found = await evidence.gather(about, T0 + 31_000)
    assert found.metric == "memory.percent"
    assert found.points and found.points[-1][1] > 30


@pytest.mark.parametrize("condition", ["silent", "absent", "forecast"])
async def test_a_value_that_is_not_the_metrics_is_not_drawn(store: Store, evidence: Stored, condition: str) -> None:
    await fill(store, "landing_metrics", (sample(s, cpu={"percent": 20.0}) for s in range(-60, 10)))
    about = fired(condition=condition, labels={"metric": "cpu.percent"}, value=75.0, threshold=60.0)
    found = await evidence.gather(about, T0 + 31_000)
    assert found.threshold is None
    assert all(v == 20.0 for _, v in found.points)


async def test_an_empty_store_leaves_the_alerts_own(evidence: Stored, store: Store) -> None:
    found = await evidence.gather(fired(), T0 + 31_000)
    assert found == Gathered("cpu.percent", "", ((T0 + 30_000, 97.5),), threshold=90.0)


async def test_hostile_labels_are_values_and_no_sql(evidence: Stored, store: Store) -> None:
    evil = "'; DROP TABLE alerts; --"
    about = fired(
        metric="disk.percent", labels={"mountpoint": evil, "instance": evil}, fingerprint=evil, anomaly_id=evil
    )
    found = await evidence.gather(about, T0 + 31_000)
    assert found.instance == evil
    assert await store.query("SELECT count() FROM alerts") == [(0,)]


class Slow:
    """A store that takes its time over its second question."""

    def __init__(self, fails: bool = False) -> None:
        self.asked = 0
        self.fails = fails
        self.closed = False

    async def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> list[tuple[Any, ...]]:
        self.asked += 1
        if self.fails:
            raise StoreError("away")
        if self.asked > 1:
            await asyncio.Event().wait()
        return [(T0, 50.0), (T0 + 1000, 60.0)]

    async def close(self) -> None:
        self.closed = True


async def test_what_takes_too_long_costs_itself_only() -> None:
    slow: Any = Slow()

    async def opened() -> Store:
        return slow  # type: ignore[no-any-return]

    found = await Stored(opened, within_s=0.1).gather(fired(), T0 + 31_000)
    assert len(found.points) == 3
    assert found.similar is None


async def test_a_store_that_is_away_is_asked_anew_the_next_time() -> None:
    stores: list[Any] = []

    async def opened() -> Store:
        stores.append(Slow(fails=len(stores) == 0))
        return stores[-1]  # type: ignore[no-any-return]

    evidence = Stored(opened, within_s=0.1)
    assert (await evidence.gather(fired(), T0 + 31_000)).points == ()
    assert stores[0].closed
    assert len((await evidence.gather(fired(), T0 + 31_000)).points) == 3


async def test_a_store_that_cannot_be_opened_is_no_evidence() -> None:
    async def opened() -> Store:
        raise StoreError("no such server")

    found = await Stored(opened).gather(fired(), T0 + 31_000)
    assert found.logs == ()
