"""The account that ends a chaos run sees what it is there to see; else its zeros would mean nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from services.ingest.rollups import Rollups
from shared.runtime.clock import ManualClock
from shared.runtime.settings import Settings
from shared.store.clickhouse import open_store
from shared.store.port import Store
from tests.support.chaos import account
from tests.support.chaos.deeds import KILL, Deed
from tests.support.chaos.recovery import Recovery
from tests.support.samples import T0, host_sample
from tests.support.store import fresh_store  # noqa: F401

HOST = "chaos-000"


@pytest.fixture
async def store(fresh_store: Settings) -> AsyncIterator[Store]:  # noqa: F811
    it = await open_store(fresh_store, "account")
    yield it
    await it.close()


def event(number: int, ts: int | None = None) -> bytes:
    ts = T0 + number * 1000 if ts is None else ts
    return json.dumps(host_sample(ts=ts, event_id=f"{HOST}-{ts}", host_id=HOST, seq=number)).encode()


async def put(store: Store, *lines: bytes) -> None:
    await store.insert_lines("landing_metrics", b"\n".join(lines))


async def test_repeats_of_an_event_are_no_second_one(store: Store) -> None:
    await put(store, *map(event, range(10)))
    await put(store, *map(event, range(5, 10)))
    assert await account.numbers(store, {HOST: 10}) == account.Numbers(10, 0, 0)


async def test_a_number_that_is_missing_is_lost(store: Store) -> None:
    await put(store, *(event(number) for number in range(10) if number not in (3, 9)))
    assert (await account.numbers(store, {HOST: 10})).lost == 2


async def test_a_host_of_which_nothing_arrived_has_lost_everything(store: Store) -> None:
    assert (await account.numbers(store, {HOST: 10})).lost == 10


async def test_a_number_at_two_instants_is_doubled(store: Store) -> None:
    await put(store, *map(event, range(10)), event(4, T0 + 4001))
    assert await account.numbers(store, {HOST: 10}) == account.Numbers(10, 0, 1)


async def test_a_rollup_that_was_computed_too_early_is_found(store: Store) -> None:
    rollups = Rollups(store, ManualClock(T0 + 3_600_000), max_age_ms=10**12)
    await put(store, *map(event, range(60)))
    assert len(await account.different_rollups(store)) == 3, "none is there yet"
    rollups.touch("samples", {T0 // 60_000: {HOST}})
    await rollups.round()
    assert await account.different_rollups(store) == []
    await put(store, event(60, T0 + 500))
    assert [line.split(":")[0] for line in await account.different_rollups(store)] != []


async def test_what_is_on_the_topic_and_not_in_the_table_is_told_by_host(store: Store) -> None:
    await put(store, event(0), event(1))
    topic = account.OnTopic(4, {HOST: {T0, T0 + 1000, T0 + 2000}, "other": {T0}})
    assert topic.repeats == 0
    assert await account.not_stored(store, topic) == {HOST: 1, "other": 1}


def test_recovered_is_who_has_something_taken_after_the_deed() -> None:
    recovery = Recovery()
    recovery.done(Deed(1, KILL, "ingest"), ("road",), 100.0)
    recovery.progress("road", 99.9, 101.0)
    assert recovery.waiting
    recovery.done(Deed(2, KILL, "alerter"), (), 105.0)  # keeps waiting longer who still waits
    recovery.progress("road", 104.0, 108.0)
    recovery.progress("road", 106.0, 109.0)
    assert not recovery.waiting
    assert recovery.slowest and recovery.slowest[:2] == (4.0, "road") and recovery.slowest[2].target == "ingest"
