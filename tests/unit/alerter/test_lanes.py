"""Lanes of receivers that come, change and go while messages wait."""

from __future__ import annotations

import asyncio

import pytest

from services.alerter.delivery.channels.port import Channel, Delivered, Failed, Outcome
from services.alerter.delivery.lanes import Lanes
from services.alerter.notification.notification import Notification
from services.alerter.routing.receiver import MailTo, Receiver
from shared.runtime.clock import SystemClock
from shared.runtime.settings import SettingsError
from shared.schemas.alert import Delivery
from tests.support.waiting import eventually
from tests.unit.alerter.notes import note
from tests.unit.alerter.support import alert


class Told:
    """A channel that answers when it is let go."""

    def __init__(self, name: str, answer: Outcome) -> None:
        self.name = self.target = name
        self.answer = answer
        self.tried: list[str] = []
        self.closed = False
        self.hold = asyncio.Event()
        self.hold.set()

    async def deliver(self, notification: Notification) -> Outcome:
        self.tried.append(notification.alerts[0].alert_id)
        await self.hold.wait()
        return self.answer

    async def close(self) -> None:
        self.closed = True


class Town:
    """Receivers whose channels are called as their mail addresses; ``channels`` is every one ever built."""

    def __init__(self) -> None:
        self.channels: list[Told] = []
        self.records: list[Delivery] = []
        self.answers: dict[str, Outcome] = {}
        self.lanes = Lanes(self.build, self.records.append, SystemClock(), max_attempts=8, timeout=30)

    def build(self, receiver: Receiver) -> list[Channel]:
        assert receiver.email
        if "broken" in receiver.email.to:
            raise SettingsError(f"receiver `{receiver.name}` cannot work")
        built = [Told(to, self.answers.get(to, Delivered())) for to in receiver.email.to]
        self.channels += built
        return list(built)

    def outcomes(self) -> list[tuple[str, str]]:
        return [(r.channel, r.outcome) for r in self.records]


def receiver(name: str, *to: str, subject: str | None = None) -> Receiver:
    return Receiver(name=name, email=MailTo(to=list(to), subject=subject))


async def test_every_channel_of_a_receiver_is_told_and_nobody_else() -> None:
    town = Town()
    assert town.lanes.set([receiver("ops", "a", "b"), receiver("dev", "c")]) == {}
    town.lanes.offer(note(receiver="ops"))
    await eventually(lambda: len(town.records) == 2)
    assert sorted(town.outcomes()) == [("a", "delivered"), ("b", "delivered")]
    await town.lanes.close()
    assert all(c.closed for c in town.channels)


async def test_what_is_for_one_way_only_goes_there_alone() -> None:
    town = Town()
    town.lanes.set([receiver("ops", "a", "b")])
    town.lanes.offer(note(receiver="ops", channel="b"))
    town.lanes.offer(note(receiver="ops", channel="c"))
    await eventually(lambda: len(town.records) == 2)
    assert sorted(town.outcomes()) == [("b", "delivered"), ("c", "permanent_failure")]
    assert "not told by `c` any more" in next(r.detail for r in town.records if r.channel == "c")
    await town.lanes.close()


async def test_a_receiver_that_does_not_exist_is_said_in_the_record() -> None:
    town = Town()
    town.lanes.set([receiver("ops", "a")])
    town.lanes.offer(note(receiver="nobody"))
    (record,) = town.records
    assert (record.outcome, record.receiver) == ("gave_up", "nobody")
    assert "no receiver `nobody`" in record.detail
    await town.lanes.close()


async def test_one_that_did_not_change_keeps_what_waits_and_its_channel() -> None:
    town = Town()
    town.answers["a"] = Failed("busy")
    town.lanes.set([receiver("ops", "a")])
    town.lanes.offer(note(receiver="ops"))
    await eventually(lambda: town.records)
    town.lanes.set([receiver("ops", "a"), receiver("dev", "c")])
    assert (len(town.channels), town.lanes.waiting) == (2, 1)
    assert town.lanes.failing() == {"ops a": "busy"}
    await town.lanes.close()


async def test_one_that_changed_goes_on_with_what_waited_in_order() -> None:
    town = Town()
    town.answers["a"] = Failed("the old one is busy", retry_after=0.01)
    town.lanes.set([receiver("ops", "a")])
    (old,) = town.channels
    old.hold.clear()
    for alert_id in ("1", "2", "3"):
        town.lanes.offer(note(alert(alert_id), receiver="ops"))
    await eventually(lambda: old.tried == ["1"])
    town.answers["a"] = Delivered()
    town.lanes.set([receiver("ops", "a", subject="new")])
    town.lanes.offer(note(alert("4"), receiver="ops"))
    assert len(old.tried) == 1
    old.hold.set()  # the attempt under way ends first
    new = town.channels[-1]
    await eventually(lambda: len(new.tried) == 4)
    assert old.tried == ["1"]
    assert old.closed
    assert new.tried[:3] == ["2", "3", "4"]  # the first waits for its next attempt meanwhile
    assert [r.outcome for r in town.records] == ["temporary_failure", *["delivered"] * 4]
    await town.lanes.close()


async def test_one_that_is_gone_ends_its_attempt_and_gives_up_the_rest_aloud() -> None:
    town = Town()
    town.lanes.set([receiver("ops", "a")])
    (old,) = town.channels
    old.hold.clear()
    town.lanes.offer(note(alert("1"), receiver="ops"))
    town.lanes.offer(note(alert("2"), receiver="ops"))
    await eventually(lambda: old.tried == ["1"])
    town.lanes.set([])
    assert not old.closed
    old.hold.set()
    await eventually(lambda: old.closed)
    assert town.outcomes() == [("a", "delivered"), ("a", "gave_up")]
    assert "no longer set up" in town.records[-1].detail
    await town.lanes.close()


async def test_a_way_to_tell_that_is_gone_costs_the_others_nothing() -> None:
    town = Town()
    town.lanes.set([receiver("ops", "a", "b")])
    town.lanes.set([receiver("ops", "b")])
    await eventually(lambda: town.channels[0].closed)
    town.lanes.offer(note(receiver="ops"))
    await eventually(lambda: town.records)
    assert town.outcomes() == [("b", "delivered")]
    await town.lanes.close()


async def test_one_that_cannot_work_costs_itself_only_and_stays_as_it_was() -> None:
    town = Town()
    town.lanes.set([receiver("ops", "a")])
    said = town.lanes.set([receiver("ops", "broken"), receiver("new", "broken"), receiver("dev", "c")])
    assert said == {"ops": "receiver `ops` cannot work", "new": "receiver `new` cannot work"}
    for name in ("ops", "dev"):
        town.lanes.offer(note(receiver=name))
    await eventually(lambda: len(town.records) == 2)
    assert sorted(town.outcomes()) == [("a", "delivered"), ("c", "delivered")]
    await town.lanes.close()


async def test_who_gives_up_the_lease_forgets_what_waits_for_those_that_leave_too() -> None:
    town = Town()
    town.lanes.set([receiver("ops", "a")])
    town.channels[0].hold.clear()
    town.lanes.offer(note(receiver="ops"))
    await eventually(lambda: town.channels[0].tried)
    town.lanes.offer(note(alert("b"), receiver="ops"))
    town.lanes.set([])
    await eventually(lambda: town.lanes._leaving)
    town.lanes.forget()
    town.channels[0].hold.set()
    await eventually(lambda: town.channels[0].closed)
    assert town.outcomes() == [("a", "delivered")]
    await town.lanes.close()


async def test_what_was_prepared_is_used_and_closed() -> None:
    town = Town()
    town.lanes.prepare([receiver("ops", "a"), receiver("dev", "b")])
    town.lanes.set([receiver("ops", "a")])
    assert [c.name for c in town.channels] == ["a", "b"]
    town.lanes.offer(note(receiver="ops"))
    await eventually(lambda: town.channels[0].tried)
    await town.lanes.close()
    assert all(c.closed for c in town.channels)
    with pytest.raises(SettingsError, match="cannot work"):
        town.lanes.prepare([receiver("ops", "broken")])


async def test_what_breaks_a_lane_is_heard_of() -> None:
    town = Town()

    def full(_: Delivery) -> None:
        raise MemoryError("no more")

    town.lanes = Lanes(town.build, full, SystemClock(), max_attempts=1, timeout=1)
    town.lanes.set([receiver("ops", "a")])
    town.lanes.offer(note(receiver="ops"))
    with pytest.raises(MemoryError):
        await asyncio.wait_for(town.lanes.watch(), 60)
    await town.lanes.close()
