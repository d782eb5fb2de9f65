"""What was stored and is in no rollup is found, whoever stored it and however slowly."""

from __future__ import annotations

import json

from services.ingest.rollup_sql import EVENTS_METRIC
from services.ingest.rollups import _STALE_MINUTES, Rollups
from shared.runtime.clock import ManualClock
from shared.runtime.settings import Settings
from shared.store.clickhouse import open_store
from tests.support.samples import T0, host_sample
from tests.support.store import fresh_store  # noqa: F401


async def test_an_insert_that_began_before_a_computation_and_ended_after_it_is_found(
    fresh_store: Settings,  # noqa: F811
) -> None:
    store = await open_store(fresh_store, "test")
    clock = ManualClock(T0 + 3_600_000)
    lines = [json.dumps(host_sample(ts=T0 + n * 1000, event_id=f"e{n}", seq=n)).encode() for n in range(10)]
    await store.insert_lines("landing_metrics", b"\n".join(lines))
    await store.command("ALTER TABLE samples UPDATE stored_at = stored_at - 300 WHERE 1 SETTINGS mutations_sync = 2")
    first = Rollups(store, clock, max_age_ms=10**12)
    first.touch("samples", {T0 // 60_000: {host_sample()["host_id"]}})
    await first.round()
    # It was on its way while that was computed; then its process died.
    await store.command(
        "INSERT INTO samples SELECT * REPLACE(ts + INTERVAL 500 MILLISECOND AS ts) FROM samples LIMIT 1"
    )
    heir = Rollups(store, clock, max_age_ms=10**12)
    assert await heir.find_stale(everything=True) >= 1
    await heir.round()
    counts = await store.query("SELECT count FROM rollup_1m FINAL WHERE metric = 'host.samples'")
    assert counts == [(11,)]
    minutes = await Rollups(store, clock, max_age_ms=10**12)._stale(
        _STALE_MINUTES.format(base="samples"), "rollup_1m", EVENTS_METRIC, True
    )
    assert minutes == [], "and it is not found for ever"
    await store.close()
