"""The size cap on a real store."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from services.ingest.retention import enforce_cap
from shared.runtime import selfmetrics
from shared.runtime.clock import ManualClock
from shared.runtime.settings import Settings
from shared.schemas.codec import encode
from shared.store.clickhouse import open_store
from tests.support.samples import T0, host_sample
from tests.support.store import fresh_store  # noqa: F401

DAY = 86_400_000


async def test_what_is_older_than_its_tier_is_kept_goes_by_itself(fresh_store: Settings) -> None:  # noqa: F811
    store = await open_store(fresh_store, "test")
    kept = fresh_store.clickhouse
    today = time.time_ns() // 1_000_000 // DAY * DAY  # the engine goes by its own clock
    days_ago = {"samples": kept.raw_days, "processes": kept.process_days, "network": kept.raw_days}
    for days in {0, *(d + 1 for d in days_ago.values())}:
        await store.insert_lines("landing_metrics", encode(host_sample(ts=today - days * DAY)))
    for table, days in days_ago.items():
        await store.command(f"OPTIMIZE TABLE {table} FINAL")
        ((oldest,),) = await store.query(f"SELECT toUnixTimestamp(min(ts)) FROM {table}")
        assert today - days * DAY <= oldest * 1000 <= today, table
    assert await store.query("SELECT uniqExact(toDate(ts)) FROM samples") == [(2,)], "raw data outlives process details"
    await store.close()


async def test_the_oldest_days_go_first_and_are_counted_and_said(
    fresh_store: Settings,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock(T0)
    store = await open_store(fresh_store, "test")
    for days_ago in (2, 1, 0):
        await store.insert_lines("landing_metrics", encode(host_sample(ts=T0 - days_ago * DAY)))
    assert await enforce_cap(store, clock, 0) == [], "no cap, nothing dropped"
    before = selfmetrics.STORE_PARTITIONS_DROPPED.value("samples")
    total = int(selfmetrics.STORE_BYTES.value() or 0)

    dropped = await enforce_cap(store, clock, total - 1)
    oldest = datetime.fromtimestamp((T0 - 2 * DAY) / 1000, UTC).date()
    assert [p.newest for p in dropped] == [oldest], "one partition was enough"

    dropped = await enforce_cap(store, clock, 1)
    assert "samples" in {p.table for p in dropped}
    assert await store.query("SELECT DISTINCT toDate(ts) FROM samples") == [
        (datetime.fromtimestamp(T0 / 1000, UTC).date(),)
    ]
    assert await store.query("SELECT count() FROM hosts FINAL") == [(1,)], "what is not by time stays"
    assert selfmetrics.STORE_PARTITIONS_DROPPED.value("samples") == before + 2
    assert "dropped the oldest partition to stay under the size cap" in caplog.text
    assert "only today's data is left" in caplog.text
    await store.close()
