"""Of many that want the lease one holds it: who leaves hands it over, who dies or stops loses it, and knows."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from shared.bus.lease import Lease
from shared.runtime.clock import SystemClock
from shared.runtime.settings import Settings
from shared.schemas.topics import Topic
from tests.support.broker import TestBus
from tests.support.waiting import eventually


@asynccontextmanager
async def competing(settings: Settings, topic: Topic, group: str, **more: object) -> AsyncIterator[Lease]:
    lease = Lease(settings.kafka, topic, group, SystemClock(), **more)  # type: ignore[arg-type]
    running = asyncio.create_task(lease.run())
    try:
        yield lease
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_who_is_alone_holds_it(bus: TestBus) -> None:
    told: list[bool] = []
    async with competing(bus.settings, await bus.topic(), bus.name(), on_change=told.append) as lease:
        await eventually(lambda: lease.held)
        assert told == [True]
    assert not lease.held and told == [True, False]


async def test_who_comes_after_one_that_left_holds_it(bus: TestBus) -> None:
    topic, group = await bus.topic(), bus.name()
    async with competing(bus.settings, topic, group) as first:
        await eventually(lambda: first.held)
    async with competing(bus.settings, topic, group) as second:
        await eventually(lambda: second.held)


class TestOfSeveral:
    @pytest.fixture
    def bus(self, bus: TestBus) -> TestBus:
        if bus.kind == "embedded":
            pytest.skip("the embedded broker keeps one member a group")
        return bus

    async def test_one_holds_it_and_the_next_takes_over_at_once(self, bus: TestBus) -> None:
        topic, group = await bus.topic(partitions=1), bus.name()
        handed: list[str] = []

        async def hand_over() -> None:
            handed.append("finished")

        async with competing(bus.settings, topic, group, hand_over=hand_over) as first:
            await eventually(lambda: first.held)
            async with competing(bus.settings, topic, group) as second:
                await eventually(lambda: handed == ["finished"])  # the group forms anew with both
                await eventually(lambda: first.held or second.held)
                for _ in range(20):
                    assert not (first.held and second.held)
                    await asyncio.sleep(0)
                third = second if first.held else first
            await eventually(lambda: third is second or first.held)

    async def test_a_process_that_is_stopped_loses_it_and_does_not_believe_otherwise_when_it_wakes(
        self, bus: TestBus, tmp_path: Path
    ) -> None:
        topic, group = await bus.topic(partitions=1), bus.name()
        log = tmp_path / "held"
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _HOLDER, bus.settings.kafka.bootstrap_servers, topic.name, group, str(log)
        )
        try:
            await eventually(lambda: log.exists() and "held" in log.read_text())
            os.kill(child.pid, signal.SIGSTOP)
            async with competing(bus.settings, topic, group, session_timeout=3.0) as ours:
                await eventually(lambda: ours.held)
                before = len(log.read_text())
                os.kill(child.pid, signal.SIGCONT)
                # Its first look at the lease after it woke, before it could hear from the broker.
                await eventually(lambda: log.read_text()[before:])
                assert log.read_text()[before:].split()[0] == "lost"
        finally:
            child.kill()
            await child.wait()


_HOLDER = """
import asyncio, sys, time
from pathlib import Path
from shared.bus.lease import Lease
from shared.runtime.clock import SystemClock
from shared.runtime.settings import Settings
from shared.schemas.topics import Topic

async def main(address, topic, group, path):
    settings = Settings.model_validate({"kafka": {"bootstrap_servers": address}})
    lease = Lease(settings.kafka, Topic(topic, "a test"), group, SystemClock(), session_timeout=3.0)
    running = asyncio.create_task(lease.run())
    said, looked = "", time.monotonic()
    with Path(path).open("w") as out:
        while not running.done():
            word = "held" if lease.held else "lost"
            woke = time.monotonic() - looked > 1
            if word != said or woke:
                print(word, file=out, flush=True)
                said = word
            looked = time.monotonic()
            await asyncio.sleep(0.01)

asyncio.run(main(*sys.argv[1:]))
"""
