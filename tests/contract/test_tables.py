"""The tables and what the code believes of them: every metric has a column, every table a retention."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.ingest.rollup_sql import statements
from shared.runtime.settings import Settings
from shared.schemas.codec import encode
from shared.schemas.metrics import CATALOGUE
from shared.store.clickhouse import open_store
from shared.store.migrate import RETENTION
from shared.store.port import Store
from shared.store.tables import COLUMNS, Column
from tests.support.samples import T0, host_sample
from tests.support.store import fresh_store  # noqa: F401


@pytest.fixture
async def store(fresh_store: Settings) -> AsyncIterator[Store]:  # noqa: F811
    handle = await open_store(fresh_store, "test")
    yield handle
    await handle.close()


async def columns(store: Store) -> dict[tuple[str, str], str]:
    rows = await store.query("SELECT table, name, type FROM system.columns WHERE database = currentDatabase()")
    return {(table, name): kind for table, name, kind in rows}


async def test_every_metric_of_the_catalogue_has_its_column(store: Store) -> None:
    there = await columns(store)
    assert {c.metric for c in COLUMNS.values()} == {m.name for m in CATALOGUE}
    for column in COLUMNS.values():
        assert (column.table, column.column) in there, column
        if column.label:
            assert (column.table, column.label) in there, column
        assert there[column.table, column.column].startswith("Nullable") == column.optional, column


def value_in(sample: dict[str, Any], column: Column) -> float:
    """The metric as the event says it; of a labelled one, the first entry's."""
    metric = next(m for m in CATALOGUE if m.name == column.metric)
    section: Any = sample[metric.section]
    if metric.section == "gpus":
        section = section["devices"]
    if isinstance(section, list):
        section = section[0]
    for part in metric.field.split("."):
        section = section.get(part, 0)
    return float(section)


async def test_every_metric_comes_back_as_it_was_sent(store: Store) -> None:
    sample = host_sample()
    await store.insert_lines("landing_metrics", encode(sample))
    score = {"kind": "score", "event_id": "s", "ts": T0, "host_id": "h", "host": "h", "score": 0.731}
    score["metrics"] = {"disk.percent{/srv}": 0.731}
    await store.insert_lines("landing_anomalies", encode(score))
    for column in COLUMNS.values():
        order = f"ORDER BY {column.label}" if column.label else ""
        ((stored,),) = await store.query(
            f"SELECT {column.column} / {column.factor} FROM {column.table} {order} LIMIT 1"
        )
        sent = 0.731 if column.table in ("scores", "metric_scores") else value_in(sample, column)
        assert stored == pytest.approx(sent, abs=0.5000001 / column.factor), column


async def test_absent_sections_leave_no_bit_and_no_rows(store: Store) -> None:
    bare = host_sample(
        **dict.fromkeys(("cpu", "load", "memory", "swap", "pressure", "processes")),
        **dict.fromkeys(("disks", "disk_io", "network", "gpus", "temperatures", "system", "agent")),
    )
    await store.insert_lines("landing_metrics", encode(bare))
    assert await store.query("SELECT sections FROM samples") == [(0,)]
    for table in ("processes", "disks", "disk_io", "network", "gpus", "temperatures", "systems"):
        assert await store.query(f"SELECT count() FROM {table}") == [(0,)], table


async def test_every_kept_table_has_a_retention(store: Store) -> None:
    kept_for_ever = {"hosts", "users", "api_tokens", "keyring", "decisions", "schema_migrations"}
    rows = await store.query(
        "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
    )
    assert {name for name, _ in rows} == kept_for_ever | set(RETENTION)
    for name, engine in rows:
        assert ("TTL" in engine) == (name in RETENTION), name


async def test_the_rollups_know_every_metric(store: Store) -> None:
    sample = host_sample(gpus={"devices": [{**host_sample()["gpus"]["devices"][0]}]})
    await store.insert_lines("landing_metrics", encode(sample))
    score = {"kind": "score", "event_id": "s", "ts": T0, "host_id": sample["host_id"], "host": "h", "score": 0.731}
    score["metrics"] = {"cpu.percent": 0.6, "disk.percent{/srv}": 0.731}
    await store.insert_lines("landing_anomalies", encode(score))
    for base in ("samples", "scores"):
        for statement in statements(base, "rollup_1m"):
            await store.command(
                statement.sql, {"since": T0 // 1000, "until": T0 // 1000 + 60, "hosts": [sample["host_id"]]}
            )
    rolled_up = {
        metric: (count, low, high, avg, last)
        for metric, count, low, high, avg, last in await store.query(
            "SELECT metric, count, min, max, avg, last FROM rollup_1m ORDER BY label DESC"
        )
    }
    assert set(rolled_up) == set(COLUMNS) | {"host.samples"}
    for column in COLUMNS.values():
        if column.table not in ("scores", "metric_scores", "temperatures"):
            count, *figures = rolled_up[column.metric]
            sent = pytest.approx(value_in(sample, column), abs=0.5000001 / column.factor)
            assert count == 1 and figures == [sent] * 4, column
    ((count, p50, p99),) = await store.query("SELECT count, p50, p99 FROM rollup_1m WHERE metric = 'cpu.percent'")
    assert (count, p50, p99) == (1, pytest.approx(23.4), pytest.approx(23.4))
    assert await store.query("SELECT label, last FROM rollup_1m WHERE metric = 'host.metric_score' ORDER BY label") == [
        ("cpu.percent", 0.6),
        ("disk.percent{/srv}", 0.731),
    ]


async def test_a_rollup_is_of_the_samples_that_had_the_metric(store: Store) -> None:
    loads = [{"load1": 3.0, "load5": 0.5, "load15": 0.5}, None, {"load1": 1.0, "load5": 0.5, "load15": 0.5}]
    device = host_sample()["gpus"]["devices"][0]
    for second, (load, celsius) in enumerate(zip(loads, (50.0, 70.0, None), strict=True)):
        gpus = {"devices": [device | {"temperature": celsius}]}
        await store.insert_lines(
            "landing_metrics", encode(host_sample(ts=T0 + 1000 * second, load=load, swap=None, gpus=gpus))
        )
    for statement in statements("samples", "rollup_1m"):
        await store.command(
            statement.sql, {"since": T0 // 1000, "until": T0 // 1000 + 60, "hosts": [host_sample()["host_id"]]}
        )
    names = ("host.samples", "cpu.percent", "cpu.load1", "gpu.temperature", "gpu.memory_used_mib", "swap.percent")
    rows = await store.query(
        "SELECT metric, count, min, max, avg, last, p50 FROM rollup_1m WHERE metric IN {names:Array(String)}",
        {"names": list(names)},
    )
    used = round(device["memory_used"])
    assert {row[0]: tuple(map(pytest.approx, row[1:])) for row in rows} == {
        "host.samples": (3, 1, 1, 1, 1, 0),
        "cpu.percent": (3, 23.4, 23.4, 23.4, 23.4, 23.4),
        "cpu.load1": (2, 1, 3, 2, 1, 2),
        "gpu.temperature": (2, 50, 70, 60, 70, 0),
        "gpu.memory_used_mib": (3, used, used, used, used, 0),
    }, "a metric that was never there has no rollup"


async def test_the_views_for_people_show_real_units_and_every_repeat_once(store: Store) -> None:
    for _ in range(2):
        await store.insert_lines("landing_metrics", encode(host_sample(swap=None)))
    ((cpu, load, swap, cores),) = await store.query(
        "SELECT cpu_percent, load1, swap_percent, cpu_per_core_percent FROM v_samples"
    )
    assert (cpu, load, swap, cores) == (23.4, 0.92, None, [40.0, 21.6, 20.0, 12.0])
    assert await store.query("SELECT percent FROM v_disks ORDER BY mountpoint") == [(64.2,), (45.0,)]
    assert await store.query("SELECT celsius, high_celsius FROM v_temperatures ORDER BY sensor") == [
        (52.0, 84.0),
        (38.9, None),
    ]


async def test_every_view_can_be_read_and_is_documented(store: Store) -> None:
    documented = (Path(__file__).parents[2] / "docs" / "clickhouse.md").read_text()
    views = await store.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View' ORDER BY name"
    )
    assert views
    for (view,) in views:
        await store.query(f"SELECT * FROM {view} LIMIT 1")
        assert f"`{view}`" in documented, view
