"""One anomaly in detail, out of a real store."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.api.anomaly import AROUND_LEAST_MS, AROUND_MOST_MS, around
from services.api.times import iso
from shared.runtime.settings import Settings
from shared.store.clickhouse import open_store
from shared.store.port import Store
from tests.support.api import Api, running_api
from tests.support.samples import T0, host_sample
from tests.support.store import empty_store, fresh_store

__all__ = ["empty_store", "fresh_store"]

MINUTE = 60_000
HOUR = 60 * MINUTE


@pytest.fixture
async def writer(fresh_store: Settings) -> AsyncIterator[Store]:
    store = await open_store(fresh_store, "writer")
    yield store
    await store.close()


@pytest.fixture
async def api(fresh_store: Settings, writer: Store) -> AsyncIterator[Api]:
    async with running_api(fresh_store) as it:
        it.clock.advance(HOUR / 1000)
        yield it


async def put(store: Store, table: str, rows: list[dict[str, Any]]) -> None:
    await store.insert_lines(table, "\n".join(json.dumps(row) for row in rows).encode())


def anomaly(name: str, started_at: int, *contributions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "kind": "anomaly",
        "event_id": f"e-{name}",
        "ts": started_at + MINUTE,
        "anomaly_id": name,
        "host_id": "h1",
        "host": "web-1",
        "state": "open",
        "finding": "cpu_overload",
        "severity": "warning",
        "score": 2.0,
        "peak_score": 2.5,
        "started_at": started_at,
        "contributions": json.dumps(list(contributions)),
        **more,
    }


def because_of(metric: str, **labels: str) -> dict[str, Any]:
    return {"metric": metric, "labels": labels, "share": 0.5, "value": 99.0, "expected_low": 1.0, "expected_high": 20.0}


async def test_it_comes_with_what_its_metrics_did_and_what_was_expected(api: Api, writer: Store) -> None:
    samples = [
        host_sample(
            ts=T0 + i * 1000,
            seq=i,
            event_id=f"s{i}",
            host_id="h1",
            host="web-1",
            cpu={"percent": 99.0 if i >= 5 else 10.0},
        )
        for i in range(10)
    ]
    await put(writer, "landing_metrics", samples)
    scores = [
        {
            "kind": "score",
            "event_id": f"s{i}",
            "ts": T0 + i * 1000,
            "host_id": "h1",
            "host": "web-1",
            "score": 2.0 if i >= 5 else 0.25,
        }
        for i in range(10)
    ]
    await put(writer, "landing_anomalies", scores)
    contributions = [because_of("cpu.percent"), because_of("disk.percent", mountpoint="/nowhere"), because_of("a.b")]
    ended = anomaly("a1", T0 + 5000, *contributions, state="close", ended_at=T0 + 10_000)
    await put(writer, "landing_anomalies", [ended])
    found = await api.data("/api/system/anomalies/a1/")
    assert (found["id"], found["state"], found["step"], found["tier"]) == ("a1", "close", 2, "raw")
    score, cpu, disk = found["series"]  # what the catalogue does not know is left out
    assert (score["metric"], score["points"][0][1], score["points"][-1][1]) == ("host.score", 0.25, 2.0)
    assert (cpu["metric"], cpu["points"][0][1], cpu["points"][-1][1]) == ("cpu.percent", 10.0, 99.0)
    assert (cpu["expected_low"], cpu["expected_high"]) == (1.0, 20.0)
    assert (disk["labels"], disk["points"]) == ({"mountpoint": "/nowhere"}, [])


async def test_earlier_ones_of_the_host_and_kind_come_along_newest_first(api: Api, writer: Store) -> None:
    rows = [anomaly(f"a{i}", T0 + i * MINUTE) for i in range(8)]
    rows += [anomaly("other", T0, host_id="h2", host="web-2"), anomaly("kind", T0, finding="disk_full")]
    await put(writer, "landing_anomalies", rows)
    similar = (await api.data("/api/system/anomalies/a7/"))["similar"]
    assert [one["id"] for one in similar] == ["a6", "a5", "a4", "a3", "a2"]
    assert (await api.data("/api/system/anomalies/a0/"))["similar"] == []


@pytest.mark.parametrize("name", ["a404", "'; DROP TABLE anomalies; --", "%00", "a" * 300])
async def test_one_that_nobody_knows_is_not_found(api: Api, name: str) -> None:
    status, message = await api.refused(f"/api/system/anomalies/{name}/", accept_language="en")
    assert status == 404 and message.startswith("There is no anomaly ") and len(message) < 160


@pytest.mark.parametrize(
    ("lasted", "expected"),
    [(MINUTE, AROUND_LEAST_MS), (2 * HOUR, HOUR), (1000 * HOUR, AROUND_MOST_MS)],
)
def test_around_it_is_half_of_what_it_lasted(lasted: int, expected: int) -> None:
    one = {"started_at": iso(T0), "ended_at": iso(T0 + lasted)}
    assert around(one, T0 + 5000 * HOUR) == (T0 - expected, T0 + lasted + expected)


@pytest.mark.parametrize("now", [T0 - HOUR, T0, T0 + 1, T0 + HOUR])
def test_one_that_lasts_is_shown_until_now_even_by_a_clock_that_is_behind(now: int) -> None:
    start, end = around({"started_at": iso(T0), "ended_at": None}, now)
    assert start < end and end >= T0
