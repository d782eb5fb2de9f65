"""What the store reads for a question: of a day no more than the hours that are asked for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from services.api.history import question
from services.api.history_plan import Stretch
from services.api.past import _COLUMNS
from services.api.statements import statement
from services.ingest.rollup_sql import statements
from shared.runtime.settings import Settings
from shared.store.clickhouse import open_store
from shared.store.port import Store
from shared.store.tables import COLUMNS
from tests.support.samples import T0
from tests.support.store import fresh_store

__all__ = ["fresh_store"]

NOON = T0 // 86_400_000 * 86_400_000 + 43_200_000
TABLES = sorted({c.table for c in COLUMNS.values()})


@pytest.fixture
async def store(fresh_store: Settings) -> AsyncIterator[Store]:
    """A day of a host, a reading a minute, in one part of each table."""
    store = await open_store(fresh_store, "reads")
    minutes = "SELECT fromUnixTimestamp64Milli({noon:Int64} + (number - 720) * 60000, 'UTC'), 'h' FROM numbers(1440)"
    for table in {*TABLES, "processes"}:
        await store.command(f"INSERT INTO {table} (ts, host_id) {minutes}", {"noon": NOON})
    yield store
    await store.close()


async def test_history_reads_the_hours_it_is_asked_for(store: Store) -> None:
    stretch = Stretch("raw", NOON, NOON + 600_000)
    for metric in {c.table: name for name, c in COLUMNS.items()}.values():
        for hosts in (["h"], ["h", "i"], None):
            await _reads_hours(store, *question(metric, hosts, "avg", stretch, 60_000))


async def test_rollups_read_the_hours_they_are_of(store: Store) -> None:
    since = NOON // 1000
    for base in ("samples", "scores"):
        for one in statements(base, "rollup_1m"):
            select = one.sql[one.sql.index("SELECT") :]
            await _reads_hours(store, select, {"since": since, "until": since + 60, "hosts": ["h"]})


async def test_an_earlier_state_is_looked_for_in_its_hours(store: Store) -> None:
    span = {"host": "h", "at": NOON, "since": NOON - 60_000}
    await _reads_hours(store, statement("then_scalars"), span)
    await _reads_hours(store, statement("then_processes"), span)
    await _reads_hours(store, statement("recent_cpu"), span | {"limit": 10})
    for table, columns in _COLUMNS.items():
        await _reads_hours(store, statement("then_rows", table=table, columns=columns), span)


async def _reads_hours(store: Store, sql: str, parameters: dict[str, Any]) -> None:
    rows = await store.query(f"EXPLAIN json = 1, indexes = 1 {sql}", parameters)
    keys = [i.get("Keys", []) for i in _indexes(json.loads(rows[0][0])) if i["Type"] == "PrimaryKey"]
    assert keys, f"nothing is read: {sql}"
    assert all("toStartOfHour(ts)" in k for k in keys), (keys, sql)


def _indexes(plan: Any) -> Iterator[dict[str, Any]]:
    if isinstance(plan, dict):
        yield from plan.get("Indexes", ())
    for inner in plan.values() if isinstance(plan, dict) else plan if isinstance(plan, list) else ():
        yield from _indexes(inner)
