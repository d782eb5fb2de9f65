"""The bell of a broker inside the process: who listens hears of what was published, and of nothing else."""

from __future__ import annotations

import asyncio
import gc

import pytest

from shared.bus import bell
from shared.bus.bell import Bell

FOREVER = 60.0


async def test_a_ring_ends_the_wait() -> None:
    it = Bell()
    ear = it.ear(["a", "b"])
    waiting = asyncio.create_task(ear.rung(FOREVER))
    await asyncio.sleep(0)
    assert not waiting.done()
    it.ring("b")
    await waiting


async def test_a_ring_that_came_before_is_not_missed_and_counts_once() -> None:
    it = Bell()
    ear = it.ear(["a"])
    it.ring("a")
    it.ring("a")
    await ear.rung(FOREVER)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ear.rung(FOREVER), 0.01)


async def test_nobody_is_woken_for_a_topic_of_others() -> None:
    it = Bell()
    ear = it.ear(["a"])
    it.ring("b")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ear.rung(FOREVER), 0.01)
    it.ring("a")
    await ear.rung(FOREVER)


async def test_without_a_ring_the_wait_ends_by_itself() -> None:
    ear = Bell().ear(["a"])
    await ear.rung(0.001)


async def test_who_gave_up_waiting_can_wait_again() -> None:
    it = Bell()
    ear = it.ear(["a"])
    gone = asyncio.create_task(ear.rung(FOREVER))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait({gone})
    it.ring("a")
    await ear.rung(FOREVER)


async def test_a_ring_from_another_thread_is_heard() -> None:
    it = Bell()
    ear = it.ear(["a"])
    waiting = asyncio.create_task(ear.rung(FOREVER))
    await asyncio.sleep(0)
    await asyncio.to_thread(it.ring, "a")
    await waiting


async def test_who_is_gone_is_forgotten() -> None:
    it = Bell()
    ear = it.ear(["a"])
    del ear
    gc.collect()
    it.ring("a")
    assert not len(it._ears)


def test_only_a_broker_inside_this_process_has_one() -> None:
    assert bell.bell_at("127.0.0.1:1") is None
    bell.hang("127.0.0.1:1")
    try:
        assert bell.bell_at("127.0.0.1:1") is bell.bell_at("127.0.0.1:1") is not None
    finally:
        bell.take_down("127.0.0.1:1")
    assert bell.bell_at("127.0.0.1:1") is None
    bell.take_down("127.0.0.1:1")
