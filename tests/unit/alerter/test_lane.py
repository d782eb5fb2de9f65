"""Lanes: retries, their order, their bounds; on a clock that moves when a lane waits."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest

from services.alerter.delivery.channels.port import Delivered, Failed, Outcome
from services.alerter.delivery.lane import MAX_WAITING, MOST_IDS, Gate, Lane, alert_ids
from services.alerter.notification.notification import Notification
from shared.runtime.clock import ManualClock
from shared.schemas.alert import Delivery
from tests.support.waiting import eventually
from tests.unit.alerter import notes
from tests.unit.alerter.support import alert


class FakeChannel:
    """Answers what ``answer`` says of the notification and how often it was tried; else yes."""

    name = "fake"
    target = "a fake"

    def __init__(self, answer: Callable[[Notification, int], Outcome | Exception] | None = None) -> None:
        self._answer = answer or (lambda n, attempt: Delivered("ok"))
        self.tried: list[tuple[float, str]] = []
        self.clock = ManualClock()
        self.hangs = False
        self.closed = False

    async def deliver(self, notification: Notification) -> Outcome:
        name = f"{notification.alerts[0].alert_id}:{notification.status}"
        self.tried.append((self.clock.monotonic() - 1000, name))
        if self.hangs:
            await asyncio.Event().wait()
        outcome = self._answer(notification, sum(1 for _, n in self.tried if n == name))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def close(self) -> None:
        self.closed = True


class Records(list[Delivery]):
    def outcomes(self) -> list[str]:
        return [d.outcome for d in self]


def lane_of(
    channel: FakeChannel, *, max_attempts: int = 8, timeout: float = 10, may_deliver: Gate | None = None
) -> tuple[Lane, Records]:
    records = Records()

    async def wait(event: asyncio.Event, seconds: float | None) -> None:
        if seconds is None:
            await event.wait()
            return
        channel.clock.advance(max(0.001, seconds))
        await asyncio.sleep(0)

    lane = Lane(
        "ops",
        channel,
        records.append,
        channel.clock,
        max_attempts=max_attempts,
        timeout=timeout,
        may_deliver=may_deliver,
        wait=wait,
    )
    return lane, records


def note(alert_id: str = "a", status: str = "firing", *more: str) -> Notification:
    alerts = tuple(alert(i, state=status) for i in (alert_id, *more))
    return notes.note(*alerts) if status == "firing" else notes.note(resolved=alerts)


async def deliver(lane: Lane, *notifications: Notification) -> None:
    """Until nothing is left."""
    for notification in notifications:
        lane.offer(notification)
    running = asyncio.create_task(lane.run())
    try:
        await eventually(lambda: not lane.waiting)
    finally:
        running.cancel()


async def test_what_arrives_is_recorded() -> None:
    lane, records = lane_of(FakeChannel())
    await deliver(lane, note())
    (record,) = records
    assert (record.outcome, record.attempt, record.receiver, record.alert_ids) == ("delivered", 1, "ops", ["a"])
    assert record.detail == "ok"
    assert lane.failing is None


async def test_temporary_failures_are_tried_again_with_growing_pauses() -> None:
    channel = FakeChannel(lambda n, attempt: Failed("busy") if attempt < 4 else Delivered())
    lane, records = lane_of(channel)
    await deliver(lane, note())
    assert records.outcomes() == ["temporary_failure"] * 3 + ["delivered"]
    assert [r.attempt for r in records] == [1, 2, 3, 4]
    at = [t for t, _ in channel.tried]
    pauses = [b - a for a, b in itertools.pairwise(at)]
    for pause, longest in zip(pauses, (1, 3, 9), strict=True):
        assert longest * 0.5 <= pause <= longest + 0.01
    assert all(r.next_attempt_at and r.next_attempt_at > r.ts for r in records[:3])


async def test_the_last_attempt_gives_up() -> None:
    lane, records = lane_of(FakeChannel(lambda n, attempt: Failed("busy")), max_attempts=3)
    await deliver(lane, note())
    assert records.outcomes() == ["temporary_failure", "temporary_failure", "gave_up"]
    assert records[-1].next_attempt_at is None
    assert lane.failing == "busy"


async def test_a_permanent_failure_is_not_repeated() -> None:
    lane, records = lane_of(FakeChannel(lambda n, attempt: Failed("no such hook", permanent=True)))
    await deliver(lane, note())
    assert records.outcomes() == ["permanent_failure"]


async def test_what_the_receiver_asks_for_is_honoured() -> None:
    channel = FakeChannel(lambda n, attempt: Failed("slow down", retry_after=120.0) if attempt == 1 else Delivered())
    lane, _ = lane_of(channel)
    await deliver(lane, note())
    assert channel.tried[1][0] - channel.tried[0][0] >= 120


async def test_an_end_waits_for_its_beginning_and_others_pass() -> None:
    channel = FakeChannel(
        lambda n, attempt: (
            Failed("busy") if alert_ids(n) == ["a"] and n.status == "firing" and attempt < 3 else Delivered()
        )
    )
    lane, _ = lane_of(channel)
    await deliver(lane, note("a"), note("a", "resolved"), note("b"), note("b", "resolved"))
    names = [name for _, name in channel.tried]
    assert names[:3] == ["a:firing", "b:firing", "b:resolved"]
    assert names[3:] == ["a:firing", "a:firing", "a:resolved"]


async def test_order_holds_across_groups() -> None:
    channel = FakeChannel(
        lambda n, attempt: Failed("busy") if n.alerts[0].alert_id == "a" and attempt < 2 else Delivered()
    )
    lane, _ = lane_of(channel)
    await deliver(lane, note("a", "firing", "b"), note("b", "resolved", "c"), note("c", "firing"))
    assert [name for _, name in channel.tried] == ["a:firing", "a:firing", "b:resolved", "c:firing"]


async def test_a_hanging_receiver_is_cut_off() -> None:
    channel = FakeChannel()
    channel.hangs = True
    lane, records = lane_of(channel, max_attempts=2, timeout=0.05)
    await deliver(lane, note())
    assert records.outcomes() == ["temporary_failure", "gave_up"]
    assert records[0].detail == "not done within 0.05 s"


async def test_a_channel_that_breaks_is_a_temporary_failure(caplog: pytest.LogCaptureFixture) -> None:
    lane, records = lane_of(FakeChannel(lambda n, a: KeyError("oops") if a == 1 else Delivered()))
    await deliver(lane, note())
    assert records.outcomes() == ["temporary_failure", "delivered"]
    assert "KeyError" in records[0].detail


async def test_a_full_lane_refuses_aloud_and_never_waits() -> None:
    lane, records = lane_of(FakeChannel())
    for i in range(MAX_WAITING + 5):
        lane.offer(note(f"a{i}"))
    assert lane.waiting == MAX_WAITING
    assert records.outcomes() == ["gave_up"] * 5
    assert records[0].alert_ids == [f"a{MAX_WAITING}"]


async def test_drain_waits_for_what_can_be_sent_and_not_for_what_must_wait() -> None:
    channel = FakeChannel(lambda n, attempt: Failed("busy") if alert_ids(n) == ["a"] else Delivered())
    records = Records()
    lane = Lane("ops", channel, records.append, channel.clock, max_attempts=8, timeout=1)
    running = asyncio.create_task(lane.run())
    lane.offer(note("a"))
    lane.offer(note("b"))
    await asyncio.wait_for(lane.drain(90), 60)
    running.cancel()
    assert sorted(records.outcomes()) == ["delivered", "temporary_failure"]
    assert lane.waiting == 1


async def test_one_dead_receiver_does_not_hold_up_another() -> None:
    dead, alive = FakeChannel(), FakeChannel()
    dead.hangs = True
    lanes = [lane_of(dead, timeout=60)[0], lane_of(alive)[0]]
    running = [asyncio.create_task(lane.run()) for lane in lanes]
    for lane in lanes:
        lane.offer(note())
    await eventually(lambda: not lanes[1].waiting)
    assert lanes[0].waiting == 1
    for task in running:
        task.cancel()


async def test_the_record_says_what_was_told_to_whom_and_why() -> None:
    lane, records = lane_of(FakeChannel())
    told = notes.note(
        alert("a"), resolved=(alert("b", state="resolved"),), occasion="escalation", ids=("c", "a"), group_key="{}:{x}"
    )
    await deliver(lane, told)
    (record,) = records
    assert (record.alert_ids, record.resolved_ids) == (["a", "b", "c"], ["b"])
    assert (record.occasion, record.group_key, record.status) == ("escalation", "{}:{x}", "firing")
    assert (record.receiver, record.channel, record.notification_id) == ("ops", "fake", told.id)


async def test_a_record_of_very_many_alerts_is_several_events() -> None:
    lane, records = lane_of(FakeChannel())
    many = tuple(f"x{i}" for i in range(2 * MOST_IDS))
    await deliver(lane, notes.note(alert("a"), ids=many))
    assert [len(r.alert_ids) for r in records] == [MOST_IDS, MOST_IDS, 1]
    assert len({r.event_id for r in records}) == 3
    assert {i for r in records for i in r.alert_ids} == {"a", *many}


async def test_a_digest_of_nothing_that_still_fires_is_recorded() -> None:
    lane, records = lane_of(FakeChannel(lambda n, attempt: Delivered()))
    lane._channel.deliver = yes  # type: ignore[method-assign]
    await deliver(lane, notes.note(occasion="digest", ids=("a", "b")))
    assert records[0].alert_ids == ["a", "b"]


async def yes(notification: Notification) -> Outcome:
    return Delivered()


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_an_attempt_begins_only_while_it_may(asynchronous: bool) -> None:
    """Who no longer holds the lease sends nothing, and goes on when it is back."""
    asked = 0

    def gate() -> bool:
        nonlocal asked
        asked += 1
        return asked > 5

    async def slow_gate() -> bool:
        return gate()

    channel = FakeChannel()
    lane, records = lane_of(channel, may_deliver=slow_gate if asynchronous else gate)
    await deliver(lane, note())
    assert asked == 6
    assert len(channel.tried) == 1
    assert records.outcomes() == ["delivered"]


async def test_a_gate_that_breaks_is_shut() -> None:
    asked = 0

    def gate() -> bool:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise OSError("the broker is away")
        return True

    channel = FakeChannel()
    lane, records = lane_of(channel, may_deliver=gate)
    await deliver(lane, note())
    assert records.outcomes() == ["delivered"]
    assert len(channel.tried) == 1


async def test_what_is_forgotten_is_neither_sent_nor_recorded() -> None:
    channel = FakeChannel()
    lane, records = lane_of(channel, may_deliver=lambda: False)
    lane.offer(note())
    running = asyncio.create_task(lane.run())
    await lane.drain(5)
    lane.forget()
    await eventually(lambda: not lane.waiting)
    running.cancel()
    assert (channel.tried, records) == ([], [])


async def test_what_arrives_although_it_was_forgotten_is_not_sent_again() -> None:
    """The lease went and came back in the middle of an attempt."""
    channel = FakeChannel()
    answer = asyncio.Event()

    async def deliver_slowly(notification: Notification) -> Outcome:
        channel.tried.append((0.0, notification.alerts[0].alert_id))
        await answer.wait()
        return Delivered()

    channel.deliver = deliver_slowly  # type: ignore[method-assign]
    lane, records = lane_of(channel)
    lane.offer(note("a"))
    running = asyncio.create_task(lane.run())
    await eventually(lambda: bool(channel.tried))
    lane.forget()
    lane.offer(note("a"))
    lane.offer(note("b"))
    answer.set()
    await eventually(lambda: not lane.waiting)
    running.cancel()
    assert [name for _, name in channel.tried] == ["a", "b"]
    assert records.outcomes() == ["delivered", "delivered"]


async def test_what_waits_already_is_not_taken_twice() -> None:
    lane, _ = lane_of(FakeChannel())
    lane.offer(note("a"))
    lane.offer(note("a"))
    assert lane.waiting == 1
