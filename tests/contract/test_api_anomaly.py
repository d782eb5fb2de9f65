"""One anomaly in detail, out of a real store, and what people say of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.api.anomaly import AROUND_LEAST_MS, AROUND_MOST_MS, around
from shared.runtime.settings import Settings
from shared.runtime.times import iso
from shared.store.port import Store
from tests.support.api import Api, running_api
from tests.support.samples import T0, host_sample
from tests.support.store import fresh_store, writer
from tests.support.wire import Wire, wire

__all__ = ["fresh_store", "wire", "writer"]

MINUTE = 60_000
HOUR = 60 * MINUTE


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


async def say(api: Api, verdict: str, who: str = "operator", **more: Any) -> Any:
    path = "/api/system/anomalies/a1/feedback/"
    return await api.data(path, method="POST", who=who, body={"verdict": verdict, **more})


async def test_what_is_said_of_it_is_told_with_the_values_its_metrics_had(api: Api, writer: Store, wire: Wire) -> None:
    low = because_of("disk.percent", mountpoint="/srv") | {"value": 0.5}
    await put(writer, "landing_anomalies", [anomaly("a1", T0, because_of("cpu.percent"), low)])
    assert (await api.data("/api/system/anomalies/a1/"))["feedback"] is None
    said = await say(api, "normal", note="backup")
    assert (said["verdict"], said["author"], said["note"]) == ("normal", "operator", "backup")
    ((key, event),) = wire.told
    assert (key, event["kind"], event["host_id"], event["verdict"]) == ("feedback:a1", "feedback", "h1", "normal")
    assert event["metrics"] == [
        {"metric": "cpu.percent", "labels": {}, "low": 1.0, "high": 99.0},
        {"metric": "disk.percent", "labels": {"mountpoint": "/srv"}, "low": 0.5, "high": 20.0},
    ]
    assert (await api.data("/api/system/anomalies/a1/"))["feedback"] == said


async def test_it_can_be_said_otherwise_and_taken_back(api: Api, writer: Store, wire: Wire) -> None:
    await put(writer, "landing_anomalies", [anomaly("a1", T0, because_of("cpu.percent"))])
    path = "/api/system/anomalies/a1/feedback/"
    assert (await api.refused(path, method="DELETE", who="operator"))[0] == 404
    await say(api, "normal")
    await say(api, "real")
    assert (await api.data("/api/system/anomalies/a1/"))["feedback"]["verdict"] == "real"
    await api.data(path, method="DELETE", who="operator")
    assert (await api.data("/api/system/anomalies/a1/"))["feedback"] is None
    assert [value and value["verdict"] for _, value in wire.told] == ["normal", "real", None]


async def test_only_who_may_act_says_something_and_only_what_there_is(api: Api, writer: Store, wire: Wire) -> None:
    await put(writer, "landing_anomalies", [anomaly("a1", T0)])
    path = "/api/system/anomalies/a1/feedback/"
    assert (await api.refused(path, method="POST", body={"verdict": "normal"}))[0] == 403
    assert (await api.refused(path, method="DELETE"))[0] == 403
    status, message = await api.refused(path, method="POST", who="operator", body={"verdict": "odd"})
    assert status == 422 and "verdict" in message
    nobodys = path.replace("a1", "a404")
    assert (await api.refused(nobodys, method="POST", who="operator", body={"verdict": "real"}))[0] == 404
    assert wire.told == []


async def test_what_could_not_be_told_is_kept_and_told_at_the_next_start(
    api: Api, writer: Store, wire: Wire, fresh_store: Settings
) -> None:
    await put(writer, "landing_anomalies", [anomaly("a1", T0), anomaly("a2", T0)])
    await say(api, "real")
    await api.data("/api/system/anomalies/a1/feedback/", method="DELETE", who="operator")
    wire.away = True
    path = "/api/system/anomalies/a2/feedback/"
    assert (await api.refused(path, method="POST", who="operator", body={"verdict": "normal"}))[0] == 503
    async with running_api(fresh_store) as next_run:
        later = Wire()
        next_run.deps.decisions.open(later)
        await next_run.deps.decisions.tell_again()
    assert [(key, value["verdict"]) for key, value in later.told] == [("feedback:a2", "normal")]
