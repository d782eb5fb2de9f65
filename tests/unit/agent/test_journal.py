"""With a broker that forgets the spool is a journal: on disk before it is sent, until it is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from pathlib import Path

import pytest

from services.agent import underway as module
from services.agent.journal import Journal
from services.agent.spool import Position, Spool
from services.agent.underway import Message, Underway
from shared.bus.port import BusError, Receipt
from shared.runtime.clock import ManualClock
from tests.support.waiting import eventually
from tests.unit.agent.fakes import FakePublisher, line, numbers


class Store:
    """Has everything before ``until`` but what was ``cut_off`` by the broker before anyone had read it."""

    until = 0
    cut_off: Collection[int] = ()

    def __call__(self, receipt: Receipt) -> bool:
        return receipt.offset < self.until and receipt.offset not in self.cut_off


Start = Callable[[], Awaitable[Journal]]


@pytest.fixture
def publisher() -> FakePublisher:
    return FakePublisher()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def start(publisher: FakePublisher, store: Store, tmp_path: Path) -> AsyncIterator[Start]:
    built: list[Journal] = []

    async def make() -> Journal:
        outbox = Journal(publisher, a_spool(tmp_path), store, clock=ManualClock(), interval=0.001)
        built.append(outbox)
        await outbox.on_disk(outbox._spool.open)
        outbox.start("host-1")
        return outbox

    yield make
    for outbox in built:
        await outbox.stop(0.5)
        await outbox.settle(0.5)


def a_spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", 1 << 24, 3600.0, ManualClock())


def on_disk(tmp_path: Path) -> list[int]:
    """What a process would find that took over now."""
    spool = a_spool(tmp_path)
    spool.open()
    found: list[int] = []
    after = Position()
    while batch := spool.read(after, 1 << 20):
        found += numbers(batch.lines)
        after = batch.until
    return found


async def put(outbox: Journal, *those: int) -> None:
    """Each as a message of its own."""
    for number in those:
        outbox.put(line(number))
        await eventually(lambda: not outbox._pending)


async def until(outbox: Journal, condition: Callable[[], bool]) -> None:
    def later() -> bool:
        outbox._clock.advance(0.5)  # type: ignore[attr-defined]
        outbox._wake.set()
        return condition()

    await eventually(later)


async def test_an_event_is_on_disk_until_it_is_stored_although_the_broker_has_it(
    start: Start, publisher: FakePublisher, store: Store, tmp_path: Path
) -> None:
    outbox = await start()
    await put(outbox, 0, 1, 2)
    await eventually(lambda: publisher.live == [0, 1, 2])
    assert on_disk(tmp_path) == [0, 1, 2]
    assert outbox.spooled_events == 0
    store.until = 2
    await until(outbox, lambda: on_disk(tmp_path) == [2])
    store.until = 3
    await until(outbox, lambda: on_disk(tmp_path) == [])
    assert publisher.spooled == []


async def test_a_kill_loses_nothing_that_was_not_stored(
    start: Start, publisher: FakePublisher, store: Store, tmp_path: Path
) -> None:
    killed = await start()
    await put(killed, 0, 1, 2, 3)
    await eventually(lambda: publisher.live == [0, 1, 2, 3])
    store.until = 2
    await until(killed, lambda: on_disk(tmp_path) == [2, 3])
    assert killed._task is not None
    killed._task.cancel()

    publisher.sent.clear()  # the broker has forgotten, and counts from zero again
    store.until = 0
    fresh = await start()
    await put(fresh, 4)
    await until(fresh, lambda: publisher.spooled == [2, 3] and publisher.live == [4])
    assert on_disk(tmp_path) == [2, 3, 4]
    store.until = len(publisher.sent)
    await until(fresh, lambda: on_disk(tmp_path) == [])


async def test_live_events_that_overtook_the_backlog_are_kept_until_it_is_stored(
    start: Start, publisher: FakePublisher, store: Store, tmp_path: Path
) -> None:
    publisher.away()
    outbox = await start()
    await put(outbox, 0, 1)
    await eventually(lambda: outbox.spooled_events == 2)
    publisher.back()
    publisher.fail = lambda value: None if b'"n": 2' in value else publisher_is_away()
    outbox._clock.advance(60)  # type: ignore[attr-defined]
    await put(outbox, 2)
    await eventually(lambda: publisher.live == [2])
    store.until = 1
    await outbox._let_go()
    assert on_disk(tmp_path) == [0, 1, 2]
    publisher.back()
    await until(outbox, lambda: publisher.spooled == [0, 1])
    store.until = 2
    await until(outbox, lambda: on_disk(tmp_path) == [])
    assert publisher.live == [2]
    assert publisher.spooled == [0, 1], "what was sent live is not sent again"


async def test_a_broker_that_goes_again_before_the_backlog_is_sent_loses_nothing(
    start: Start, publisher: FakePublisher, store: Store, tmp_path: Path
) -> None:
    publisher.away()
    outbox = await start()
    await put(outbox, 0)
    await eventually(lambda: outbox.spooled_events == 1)
    publisher.fail = lambda value: None if b'"n": 1' in value else publisher_is_away()
    outbox._clock.advance(60)  # type: ignore[attr-defined]
    await put(outbox, 1)
    await eventually(lambda: publisher.live == [1])
    publisher.away()
    await put(outbox, 2)
    await eventually(lambda: outbox.spooled_events == 3)
    publisher.back()
    await until(outbox, lambda: set(publisher.spooled) == {0, 1, 2})
    store.until = len(publisher.sent)
    await until(outbox, lambda: on_disk(tmp_path) == [])


async def test_while_much_is_not_stored_events_stay_on_disk_and_the_broker_is_spared(
    start: Start, publisher: FakePublisher, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    outbox = await start()
    for number in range(10):
        await put(outbox, number)
    assert publisher.live == [0, 1, 2]
    assert on_disk(tmp_path) == list(range(10))
    store.until = 3
    await until(outbox, lambda: 3 in publisher.spooled)
    store.until = 10**6
    await until(outbox, lambda: on_disk(tmp_path) == [])
    assert sorted(publisher.live + publisher.spooled) == list(range(10))


@pytest.mark.parametrize("cut_off", [{0}, {1, 2}])
async def test_what_the_broker_cut_off_unread_is_sent_again_and_keeps_nothing_from_leaving(
    start: Start, publisher: FakePublisher, store: Store, tmp_path: Path, cut_off: set[int]
) -> None:
    outbox = await start()
    store.cut_off = cut_off
    await put(outbox, 0, 1, 2, 3)
    await eventually(lambda: publisher.live == [0, 1, 2, 3])
    store.until = 4
    await until(outbox, lambda: cut_off <= set(publisher.spooled))
    store.until = len(publisher.sent)
    await until(outbox, lambda: on_disk(tmp_path) == [])


async def test_backlog_that_was_cut_off_is_missed_when_what_is_behind_it_is_stored(
    start: Start, publisher: FakePublisher, store: Store, tmp_path: Path
) -> None:
    publisher.away()
    outbox = await start()
    store.cut_off = {0}
    await put(outbox, 0)
    publisher.back()
    await until(outbox, lambda: publisher.spooled == [0])
    await put(outbox, 1)
    await eventually(lambda: publisher.live == [1])
    store.until = 2
    await until(outbox, lambda: publisher.spooled[1:] == [0, 1])
    store.until = len(publisher.sent)
    await until(outbox, lambda: on_disk(tmp_path) == [])


async def test_after_a_clean_stop_only_what_was_not_stored_is_sent_again(
    start: Start, publisher: FakePublisher, store: Store, tmp_path: Path
) -> None:
    outbox = await start()
    await put(outbox, 0, 1, 2)
    await outbox.stop(2.0)
    assert publisher.live == [0, 1, 2]
    store.until = 2
    await outbox.settle()
    assert on_disk(tmp_path) == [2]


def test_the_journal_is_stored_up_to_the_first_message_that_is_not() -> None:
    store = Store()
    underway = Underway(store)
    for n in range(3):
        underway.add(Message(Receipt("t", 0, n), Position(1, n), 10), live=True)
    store.until = 2
    assert underway.settled(backlog_sent=True) == Position(1, 1)
    assert underway.settled(backlog_sent=True) is None


def test_what_was_live_before_an_interruption_is_let_go_of_as_far_as_it_is_stored() -> None:
    store = Store()
    underway = Underway(store)
    underway.add(Message(Receipt("t", 0, 9), Position(1, 0), 10), live=False)
    for n in (0, 1):
        underway.add(Message(Receipt("t", 0, n), Position(2, n), 10), live=True)
    store.until = 1
    assert underway.settled(backlog_sent=True) is None, "the backlog before them is not stored yet"
    underway.interrupted(backlog_sent=True)
    store.until = 10
    assert underway.settled(backlog_sent=True) == Position(2, 1)


def test_stored_live_messages_make_room_although_they_wait_for_the_backlog() -> None:
    store = Store()
    underway = Underway(store)
    underway.add(Message(Receipt("t", 0, 0), Position(2, 0), module.MOST_BYTES), live=True)
    assert underway.full
    store.until = 1
    assert underway.settled(backlog_sent=False) is None
    assert not underway.full
    assert underway.settled(backlog_sent=True) == Position(2, 0)


def publisher_is_away() -> BusError:
    return BusError("nobody there")
