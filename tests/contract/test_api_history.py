"""History out of a real store: tiers, repeats, the open minutes, aggregates, the fleet."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from shared.runtime.settings import Settings
from shared.store.port import Store
from tests.support.api import Api, running_api
from tests.support.samples import T0, host_sample
from tests.support.store import fresh_store, writer

__all__ = ["fresh_store", "writer"]

COLUMNS = [
    "metric",
    "host_id",
    "label",
    "ts",
    "count",
    "min",
    "max",
    "avg",
    "last",
    "p50",
    "p95",
    "p99",
    "computed_at",
]
MINUTE = 60_000
NOW = T0 // 3_600_000 * 3_600_000 + 30 * MINUTE + 20_000
"""Twenty seconds into the half hour."""


@pytest.fixture
async def api(fresh_store: Settings, writer: Store) -> AsyncIterator[Api]:
    async with running_api(fresh_store) as it:
        it.clock.jump((NOW - T0) / 1000)
        it.tokens["viewer"] = await it.login("viewer")
        yield it


@pytest.fixture
async def quick() -> AsyncIterator[Api]:
    """A store that has nothing, for what is decided before it is asked."""
    async with running_api() as it:
        it.clock.jump((NOW - T0) / 1000)
        it.tokens["viewer"] = await it.login("viewer")
        it.hear(host_sample(ts=NOW))
        yield it


async def readings(store: Store, host: str, first: int, values: list[float], *, step: int = 1000) -> None:
    lines = [
        json.dumps(
            host_sample(
                ts=first + i * step, seq=i, event_id=f"{host}{first + i}", host_id=host, host=host, cpu={"percent": v}
            )
        )
        for i, v in enumerate(values)
    ]
    await store.insert_lines("landing_metrics", "\n".join(lines).encode())


async def rollups(store: Store, table: str, host: str, rows: dict[int, tuple[float, int]], label: str = "") -> None:
    """``{minute: (average, count)}`` of cpu.percent."""
    values = [
        f"('cpu.percent', '{host}', '{label}', {at // 1000}, {n}, {v - 1}, {v + 1}, {v}, {v}, {v}, {v}, {v}, now64(3))"
        for at, (v, n) in rows.items()
    ]
    await store.command(f"INSERT INTO {table} ({', '.join(COLUMNS)}) VALUES {', '.join(values)}")


async def history(api: Api, query: str) -> Any:
    return await api.data(f"/api/system/history/?{query}")


async def test_readings_come_back_as_they_were_and_repeats_count_once(api: Api, writer: Store) -> None:
    for _ in range(2):
        await readings(writer, "h1", NOW - 10_000, [10.0, 20.0, 30.0])
    api.hear(host_sample(host_id="h1", host="web-1", ts=NOW))
    data = await history(api, "metric=cpu.percent&host=h1&from=now-1m&step=1s")
    assert (data["step"], data["tier"]) == (1, "raw")
    (series,) = data["series"]
    assert (series["host"], series["host_id"], series["metric"], series["labels"]) == (
        "web-1",
        "h1",
        "cpu.percent",
        {},
    )
    assert series["points"] == [[NOW - 10_000, 10.0], [NOW - 9_000, 20.0], [NOW - 8_000, 30.0]]
    counted = await history(api, "metric=cpu.percent&host=h1&from=now-1m&step=20s&agg=count")
    assert counted["series"][0]["points"] == [[NOW - 20_000, 3.0]]


@pytest.mark.parametrize(
    ("agg", "value"),
    [("avg", 20.0), ("min", 10.0), ("max", 30.0), ("p50", 20.0), ("last", 30.0), ("sum", 60.0), ("count", 3.0)],
)
async def test_aggregates_of_readings(api: Api, writer: Store, agg: str, value: float) -> None:
    await readings(writer, "h1", NOW - 10_000, [10.0, 20.0, 30.0])
    api.hear(host_sample(host_id="h1", ts=NOW))
    data = await history(api, f"metric=cpu.percent&from=now-1m&step=20s&agg={agg}")
    assert data["series"][0]["points"] == [[NOW - 20_000, value]]


async def test_closed_minutes_come_from_rollups_and_open_ones_from_readings(api: Api, writer: Store) -> None:
    minute = NOW // MINUTE * MINUTE
    await rollups(writer, "rollup_1m", "h1", {minute - i * MINUTE: (50.0, 60) for i in range(11, 60)})
    await readings(writer, "h1", minute - 2 * MINUTE, [90.0] * 4, step=30_000)
    await readings(writer, "h1", minute, [70.0] * 20)
    api.hear(host_sample(host_id="h1", ts=NOW))
    data = await history(api, "metric=cpu.percent&from=now-1h&step=1m")
    points = dict(map(tuple, data["series"][0]["points"]))
    assert (data["step"], data["tier"]) == (60, "1m")
    assert points[minute - 30 * MINUTE] == 50.0
    assert points[minute - 2 * MINUTE] == 90.0
    assert points[minute] == 70.0, "the chart reaches now"


async def test_where_tiers_meet_inside_a_bucket_parts_are_weighed(api: Api, writer: Store) -> None:
    minute = NOW // MINUTE * MINUTE  # the half hour: buckets of 20 minutes begin at 0 and 20 past
    await rollups(writer, "rollup_1m", "h1", {minute - 15 * MINUTE: (10.0, 60), minute - 25 * MINUTE: (40.0, 60)})
    await readings(writer, "h1", minute - 10 * MINUTE, [40.0] * 20)
    api.hear(host_sample(host_id="h1", ts=NOW))
    for agg, value in (("avg", 40.0), ("count", 20.0), ("max", 40.0)):
        data = await history(api, f"metric=cpu.percent&from=now-1h&step=20m&agg={agg}")
        points = dict(map(tuple, data["series"][0]["points"]))
        assert points[minute - 10 * MINUTE] == value
    whole = await history(api, "metric=cpu.percent&from=now-1h&step=30m&agg=avg")
    points = dict(map(tuple, whole["series"][0]["points"]))
    assert points[minute - 30 * MINUTE] == round((10 * 60 + 40 * 60 + 40 * 20) / 140, 3)


async def test_hours_come_from_hour_rollups_and_the_rest_from_finer_ones(api: Api, writer: Store) -> None:
    hour = NOW // 3_600_000 * 3_600_000
    await rollups(writer, "rollup_1h", "h1", {hour - i * 3_600_000: (30.0, 3600) for i in range(2, 40)})
    await rollups(writer, "rollup_1m", "h1", {hour - MINUTE: (60.0, 60), hour + MINUTE: (80.0, 60)})
    await readings(writer, "h1", NOW - 5_000, [20.0] * 60, step=10)
    api.hear(host_sample(host_id="h1", ts=NOW))
    data = await history(api, "metric=cpu.percent&from=now-2d&step=1h")
    points = dict(map(tuple, data["series"][0]["points"]))
    assert data["tier"] == "1h"
    assert points[hour - 5 * 3_600_000] == 30.0
    assert points[hour - 3_600_000] == 60.0
    assert points[hour] == 50.0


async def test_of_two_computations_of_a_minute_one_counts(api: Api, writer: Store) -> None:
    minute = NOW // MINUTE * MINUTE
    await rollups(writer, "rollup_1m", "h1", {minute - 20 * MINUTE: (10.0, 30)})
    await rollups(writer, "rollup_1m", "h1", {minute - 20 * MINUTE: (12.0, 60)})
    api.hear(host_sample(host_id="h1", ts=NOW))
    data = await history(api, "metric=cpu.percent&from=now-1h&step=1m&agg=count")
    assert dict(map(tuple, data["series"][0]["points"]))[minute - 20 * MINUTE] == 60.0


async def test_a_metric_with_labels_has_a_series_each(api: Api, writer: Store) -> None:
    await readings(writer, "h1", NOW - 5_000, [1.0])
    api.hear(host_sample(host_id="h1", ts=NOW))
    data = await history(api, "metric=disk.percent&metric=gpu.load&from=now-1m&step=1s")
    assert [(s["metric"], s["labels"], [v for _, v in s["points"]]) for s in data["series"]] == [
        ("disk.percent", {"mountpoint": "/"}, [64.2]),
        ("disk.percent", {"mountpoint": "/srv/data"}, [45.0]),
        ("gpu.load", {"id": "0"}, [41.0]),
    ]


async def test_the_top_of_the_fleet(api: Api, writer: Store) -> None:
    for host, percent in (("h1", 10.0), ("h2", 90.0), ("h3", 50.0)):
        await readings(writer, host, NOW - 20_000, [percent] * 5)
        api.hear(host_sample(host_id=host, host=f"name-{host}", ts=NOW))
    data = await history(api, "metric=cpu.percent&from=now-1m&step=10s&top=2")
    assert [s["host"] for s in data["series"]] == ["name-h2", "name-h3"]
    everyone = await history(api, "metric=cpu.percent&host=*&from=now-1m&step=10s")
    assert [s["host"] for s in everyone["series"]] == ["name-h1", "name-h2", "name-h3"]
    two = await history(api, "metric=cpu.percent&host=name-h3&host=h1&from=now-1m&step=10s")
    assert [s["host_id"] for s in two["series"]] == ["h1", "h3"]


@pytest.mark.parametrize("span", ["10m", "1h", "24h", "7d", "90d", "700d"])
async def test_auto_never_answers_more_than_a_thousand_points(quick: Api, span: str) -> None:
    data = await history(quick, f"metric=cpu.percent&from=now-{span}&step=auto")
    seconds = {"m": 60, "h": 3600, "d": 86_400}[span[-1]] * int(span[:-1])
    assert seconds / data["step"] <= 1000
    assert seconds / data["step"] > 200, "and not needlessly few"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "Parameter metric is missing"),
        ("metric=cpu.percnt", "such as cpu.percent"),
        ("metric=cpu.percent&from=now&to=now-1h", "from must be earlier than to"),
        ("metric=cpu.percent&from=yesterday", "Parameter from must be an RFC 3339 time"),
        ("metric=cpu.percent&from=-5", "Parameter from"),
        ("metric=cpu.percent&from=99999999999999999999", "Parameter from"),
        ("metric=cpu.percent&step=0s", "Parameter step must be auto, or a number with s, m, h or d"),
        ("metric=cpu.percent&step=-1m", "Parameter step"),
        ("metric=cpu.percent&step=1", "Parameter step"),
        ("metric=cpu.percent&step=NaNs", "Parameter step"),
        ("metric=cpu.percent&from=now-30d&step=10m&agg=p42", "Parameter agg must be one of avg"),
        ("metric=cpu.percent&from=now-7d&step=1s", "use a step of 1m or more"),
        ("metric=cpu.percent&top=0", "Parameter top must be a whole number from 1 to 100"),
        ("metric=cpu.percent&top=1.5", "Parameter top"),
        ("metric=cpu.percent&metrics=x", "did you mean metric?"),
        ("metric=cpu.percent&step=1m&step=2m", "given once only"),
        ("metric=cpu.user&from=now-60d&agg=p95", "has no quantiles that far back"),
        ("metric=cpu.percent'%20OR%201=1", "Parameter metric"),
    ],
)
async def test_what_cannot_be_answered_is_refused_by_name(quick: Api, query: str, says: str) -> None:
    status, message = await quick.refused(f"/api/system/history/?{query}", accept_language="en")
    assert status == 422
    assert says in message


async def test_an_unknown_host_is_404_whatever_it_is_called(quick: Api) -> None:
    for name in ("web-9", "'; DROP TABLE samples; --", "<script>alert(1)</script>", "\x00", "🦤" * 60, "a" * 256):
        status, _ = await quick.refused(f"/api/system/history/?metric=cpu.percent&host={quote(name)}")
        assert status == 404
