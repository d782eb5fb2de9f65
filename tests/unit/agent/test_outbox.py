"""The way out: live events as they come, the spool while the bus is away, and both when it is back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from services.agent import outbox as module
from services.agent.outbox import BACKLOG_SPEED, MESSAGE_BYTES, MOST_PENDING, Outbox
from services.agent.spool import Spool
from shared.bus.port import BusError
from shared.runtime.clock import ManualClock
from tests.support.waiting import eventually
from tests.unit.agent.fakes import FakePublisher, line, numbers

Build = Callable[..., Any]


@pytest.fixture
def publisher() -> FakePublisher:
    return FakePublisher()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def build(publisher: FakePublisher, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Build]:
    built: list[Outbox] = []

    async def make(**more: Any) -> Outbox:
        spool = Spool(tmp_path / "spool", more.pop("max_bytes", 1 << 24), 3600.0, clock)
        outbox = Outbox(publisher, spool, clock=clock, **more)
        built.append(outbox)
        await outbox.on_disk(spool.open)
        outbox.start("host-1")
        return outbox

    yield make
    for outbox in built:
        await outbox.stop(0.5)


async def passing(clock: ManualClock, outbox: Outbox, condition: Callable[[], Any], step: float = 0.5) -> None:
    """Let time go by until ``condition``; the outbox, asleep by the real clock, is woken."""

    def later() -> Any:
        clock.advance(step)
        outbox._wake.set()
        return condition()

    await eventually(later)


async def test_each_event_is_a_message_of_its_own(build: Build, publisher: FakePublisher) -> None:
    outbox = await build()
    for number in range(3):
        outbox.put(line(number))
        await eventually(lambda n=number: n in publisher.live)  # type: ignore[misc]
    assert [len(m.lines) for m in publisher.sent] == [1, 1, 1]


async def test_several_events_a_message_when_so_set(build: Build, publisher: FakePublisher) -> None:
    outbox = await build(pack=3)
    for number in range(7):
        outbox.put(line(number))
        if number % 3 == 2:
            await eventually(lambda n=number: n in publisher.live)  # type: ignore[misc]
    await outbox.stop()
    assert [m.numbers for m in publisher.sent] == [[0, 1, 2], [3, 4, 5], [6]], "the rest goes when we stop"


async def test_who_answers_slower_than_events_come_is_kept_up_with(build: Build, publisher: FakePublisher) -> None:
    """One a message would fall behind for ever, until events had to be dropped although nobody was away."""
    outbox = await build()
    publisher.stuck = asyncio.Event()
    outbox.put(line(0))
    await eventually(lambda: publisher.attempts == 1)
    for number in range(1, 5):
        outbox.put(line(number))
    publisher.stuck.set()
    await eventually(lambda: publisher.live == [0, 1, 2, 3, 4])
    assert [m.numbers for m in publisher.sent] == [[0], [1, 2, 3, 4]]
    assert outbox.spooled_events == 0


async def test_while_the_bus_is_away_events_go_to_disk_and_it_is_said_once(
    build: Build, publisher: FakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = await build()
    publisher.away()
    with caplog.at_level(logging.INFO):
        for number in range(20):
            outbox.put(line(number))
        await eventually(lambda: outbox.spooled_events == 20)
    assert publisher.sent == []
    assert publisher.attempts == 1, "no attempt with every event"
    assert caplog.text.count("they go to the spool") == 1
    assert outbox.away_because == "nobody there"


async def test_what_goes_to_disk_does_not_wait_for_a_full_message(build: Build, publisher: FakePublisher) -> None:
    outbox = await build(pack=3)
    publisher.away()
    for number in range(4):
        outbox.put(line(number))
    await eventually(lambda: outbox.spooled_events == 4)


async def test_when_it_is_back_live_events_go_first_and_the_backlog_follows_marked_and_in_order(
    build: Build, publisher: FakePublisher, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = await build()
    publisher.away()
    for number in range(50):
        outbox.put(line(number))
    await eventually(lambda: outbox.spooled_events == 50)
    publisher.back()
    clock.advance(60)
    with caplog.at_level(logging.INFO):
        outbox.put(line(50))
        await eventually(lambda: publisher.spooled == list(range(50)))
        await eventually(lambda: outbox.spooled_events == 0)
    assert publisher.sent[0].numbers == [50], "the live event went first"
    assert not publisher.sent[0].spooled
    assert publisher.live == [50]
    assert "the broker takes events again" in caplog.text
    assert "the spool is empty again" in caplog.text


async def test_a_broker_that_returns_is_found_without_a_new_event(
    build: Build, publisher: FakePublisher, clock: ManualClock
) -> None:
    """An agent with an interval of an hour does not wait an hour to send what is waiting."""
    outbox = await build()
    publisher.away()
    outbox.put(line(1))
    await eventually(lambda: outbox.spooled_events == 1)
    publisher.back()
    await passing(clock, outbox, lambda: publisher.spooled == [1])


async def test_attempts_become_rarer(build: Build, publisher: FakePublisher, clock: ManualClock) -> None:
    outbox = await build()
    publisher.away()
    for number in range(100):
        clock.advance(1.0)
        outbox.put(line(number))
        await eventually(lambda n=number: outbox.spooled_events == n + 1)  # type: ignore[misc]
    assert 10 <= publisher.attempts <= 35


async def test_the_backlog_does_not_bury_live_events(
    build: Build, publisher: FakePublisher, clock: ManualClock
) -> None:
    outbox = await build(interval=1.0)
    publisher.away()
    for number in range(600):
        outbox.put(line(number, size=3000))
        if number % 50 == 49:
            await eventually(lambda n=number: outbox.spooled_events == n + 1)  # type: ignore[misc]
    publisher.back()
    clock.advance(60)
    began = clock.monotonic()
    sent_at: dict[int, float] = {}
    number = 600
    while outbox.spooled_events:
        outbox.put(line(number))
        await eventually(lambda n=number: n in publisher.live)  # type: ignore[misc]
        sent_at[number] = clock.monotonic()
        number += 1
        clock.advance(1.0)
        await asyncio.sleep(0.01)
    assert publisher.spooled == list(range(600))
    seconds = clock.monotonic() - began
    backlog = [m for m in publisher.sent if m.spooled]
    assert all(sum(map(len, m.lines)) <= MESSAGE_BYTES for m in backlog)
    assert max(len(m.lines) for m in backlog) > 50, "several events a message"
    # Not faster than the share, but for the first message, which goes at once.
    assert seconds >= (600 - len(backlog[-1].lines)) / BACKLOG_SPEED - 2
    assert publisher.live == list(range(600, number))


async def test_a_restart_sends_what_the_last_run_left(build: Build, publisher: FakePublisher) -> None:
    first = await build()
    publisher.away()
    for number in range(5):
        first.put(line(number))
    await eventually(lambda: first.spooled_events == 5)
    await first.stop()
    publisher.back()
    await build()
    await eventually(lambda: publisher.spooled == [0, 1, 2, 3, 4])


async def test_a_broker_that_takes_long_has_events_on_disk_as_well(
    build: Build, publisher: FakePublisher, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    outbox = await build()
    publisher.stuck = asyncio.Event()
    for number in range(4):
        outbox.put(line(number))
    await eventually(lambda: outbox.spooled_events == 4)
    assert publisher.attempts == 1
    publisher.stuck.set()
    publisher.stuck = None
    await passing(clock, outbox, lambda: outbox.spooled_events == 0)
    assert publisher.live[:1] == [0], "it arrived after all"
    assert publisher.spooled == [0, 1, 2, 3], "and once more: a repeat is harmless, a loss is not"
    assert outbox.away_since is None


async def test_an_event_too_large_for_the_broker_is_given_up_and_counted(
    build: Build, publisher: FakePublisher
) -> None:
    outbox = await build(pack=3)
    publisher.fail = lambda value: BusError("too large", permanent=True) if len(value) > 200_000 else None
    outbox.put(line(1))
    outbox.put(line(2, size=220_000))
    outbox.put(line(3))
    await eventually(lambda: publisher.live == [1, 3])
    assert outbox.dropped == 1
    assert outbox.dropped_by_reason == {"refused": 1}


async def test_without_permission_events_wait_for_it(
    build: Build, publisher: FakePublisher, clock: ManualClock
) -> None:
    outbox = await build()
    publisher.fail = lambda value: BusError("this user may not write", permanent=True)
    for number in range(3):
        outbox.put(line(number))
    await eventually(lambda: outbox.spooled_events == 3)
    publisher.back()
    await passing(clock, outbox, lambda: publisher.spooled == [0, 1, 2], step=5.0)
    assert outbox.dropped == 0


async def test_a_backlog_with_an_event_too_large_goes_on_behind_it(
    build: Build, publisher: FakePublisher, clock: ManualClock
) -> None:
    outbox = await build()
    publisher.away()
    for number in range(6):
        outbox.put(line(number, size=150_000 if number == 2 else 100))
    await eventually(lambda: outbox.spooled_events == 6)
    publisher.fail = lambda value: BusError("too large", permanent=True) if len(value) > 120_000 else None
    await passing(clock, outbox, lambda: outbox.spooled_events == 0, step=5.0)
    assert publisher.spooled == [0, 1, 3, 4, 5]
    assert outbox.dropped == 1


async def test_taking_an_event_never_waits_and_memory_is_bounded(build: Build, publisher: FakePublisher) -> None:
    outbox = await build()
    publisher.stuck = asyncio.Event()
    for number in range(MOST_PENDING * 3):
        outbox.put(line(number))
    assert len(outbox._pending) <= MOST_PENDING + 1
    assert outbox.dropped == MOST_PENDING * 3 - len(outbox._pending)
    assert outbox.dropped_by_reason == {"pending": outbox.dropped}


async def test_stopping_sends_what_is_pending(build: Build, publisher: FakePublisher) -> None:
    outbox = await build(pack=100)
    for number in range(5):
        outbox.put(line(number))
    await outbox.stop()
    assert publisher.live == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("how", ["away", "stuck"])
async def test_stopping_keeps_on_disk_what_cannot_be_sent_within_its_bound(
    build: Build, publisher: FakePublisher, tmp_path: Path, clock: ManualClock, how: str
) -> None:
    outbox = await build()
    if how == "away":
        publisher.away()
    else:
        publisher.stuck = asyncio.Event()
    for number in range(5):
        outbox.put(line(number))
    async with asyncio.timeout(30):  # without its bound it waits for ever
        await outbox.stop(0.5)
    spool = Spool(tmp_path / "spool", 1 << 20, 3600.0, clock)
    spool.open()
    batch = spool.read(module.Position(), 1 << 20)
    assert batch is not None
    assert numbers(batch.lines) == [0, 1, 2, 3, 4]


async def test_an_error_that_is_no_bus_error_ends_the_outbox_aloud(build: Build, publisher: FakePublisher) -> None:
    outbox = await build()

    def broken(value: bytes) -> None:
        raise ZeroDivisionError

    publisher.fail = broken
    outbox.put(line(1))
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(outbox.watch(), 60)
    await outbox.stop()
    assert outbox.spooled_events == 1, "and keeps what it had"
