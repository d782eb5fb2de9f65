"""Silent hosts: claimed only while we can hear."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from services.alerter.evaluation.hearing import Hearing, Place
from services.alerter.evaluation.hosts import SPEAKS_S
from services.alerter.evaluation.state import Reason
from shared.bus.port import BusError, Message
from shared.runtime.selfmetrics import ALERTER_UNWATCHED
from shared.schemas.sample import Cpu
from tests.unit.alerter.support import CPU_RULE, SILENCE_RULE, Watch, alert


def test_a_host_that_stops_is_silent_and_speaks_again() -> None:
    watch = Watch(SILENCE_RULE, silent_after_s=60)
    watch.sample("h1")
    assert watch.tick(59) == []
    (fired,) = watch.tick(2)
    assert (fired.state, fired.severity, fired.threshold) == ("firing", "critical", 60)
    assert fired.summary == "Host is silent: web1, nothing heard for 1 min"
    assert watch.tick(600) == []
    (resolved,) = watch.sample("h1")
    assert resolved.state == "resolved"
    assert resolved.alert_id == fired.alert_id
    assert watch.tick(30) == []


def test_an_outage_of_the_broker_is_nobodys_silence() -> None:
    watch = Watch(SILENCE_RULE)
    hosts = [f"h{i}" for i in range(50)]
    for host in hosts:
        watch.sample(host)
    watch.tick(10)
    assert watch.tick(3600, hears=False) == []
    # It is back: everybody gets the full time again, and those who speak are not silent.
    assert watch.tick(30) == []
    for host in hosts[1:]:
        watch.sample(host)
    fired = watch.tick(45)
    assert [a.host_id for a in fired] == ["h0"]


def test_being_behind_is_nobodys_silence() -> None:
    watch = Watch(SILENCE_RULE)
    watch.sample("h1")
    for _ in range(300):
        watch.clock.advance(1)  # we poll, but what we were told to have heard stays where it is
        assert watch.evaluator.tick(watch.clock.now_ms(), watch.clock.monotonic()) == []


def test_old_events_from_a_spool_are_a_sign_of_life() -> None:
    watch = Watch(SILENCE_RULE)
    watch.sample("h1")
    for _ in range(10):
        watch.tick(50)
        watch.sample("h1", late_s=4000)
    assert watch.states() == []


def test_nobody_is_silent_who_was_never_heard() -> None:
    watch = Watch(SILENCE_RULE)
    assert watch.tick(1000) == []


def test_a_restored_silence_ends_when_the_host_speaks() -> None:
    watch = Watch(SILENCE_RULE)
    watch.sample("h1")
    (fired,) = watch.tick(61)
    again = Watch(SILENCE_RULE)
    again.clock.advance(100)
    assert again.evaluator.restore([fired], again.clock.now_ms(), again.clock.monotonic()) == []
    assert again.tick(200) == []
    (resolved,) = again.sample("h1")
    assert (resolved.state, resolved.alert_id) == ("resolved", fired.alert_id)


def test_a_forgotten_host_is_told_as_such() -> None:
    watch = Watch(SILENCE_RULE, CPU_RULE)
    watch.cpu(99, 40)
    watch.tick(61)
    watch.clock.advance(8 * 86_400)
    ended = watch.tick()
    assert {(a.rule, a.state) for a in ended} == {("host_silent", "resolved"), ("cpu_busy", "resolved")}
    assert all("forgotten" in a.reason for a in ended)
    assert watch.evaluator.hosts == watch.evaluator.open == 0


def test_the_longest_silent_host_makes_room() -> None:
    watch = Watch(SILENCE_RULE, max_hosts=3)
    for i in range(10):
        watch.clock.advance(SPEAKS_S / 3 + 1)
        watch.sample(f"h{i}", cpu=Cpu(count=1, percent=1))
    assert watch.evaluator.hosts == 3
    fired = watch.tick(61)
    assert {a.host_id for a in fired} == {"h7", "h8", "h9"}


def test_while_all_speak_nobody_makes_room_and_who_is_not_watched_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Hosts that forget each other in turns would be watched by nobody."""
    watch, before = Watch(CPU_RULE, max_hosts=3), ALERTER_UNWATCHED.value()
    for _ in range(40):
        watch.clock.advance(1)
        for n in range(4):
            watch.sample(f"h{n}", cpu=Cpu(count=1, percent=95))
    assert {a.host_id for a in watch.alerts if a.state == "firing"} == {"h0", "h1", "h2"}
    assert ALERTER_UNWATCHED.value() - before == 40
    (line,) = [r for r in caplog.records if "a host is not watched" in r.getMessage()]
    assert line.set == "LAPWING_ALERTER__MAX_HOSTS"  # type: ignore[attr-defined]


def test_what_was_said_of_a_host_without_room_ends() -> None:
    watch = Watch(CPU_RULE, max_hosts=1)
    watch.sample("h0", cpu=Cpu(count=1, percent=1))
    (ended,) = watch.evaluator.restore([alert("a", ts=watch.clock.now_ms())], watch.clock.now_ms(), 0.0)
    assert (ended.alert_id, ended.state, ended.reason) == ("a", "resolved", Reason.NO_ROOM)
    assert (watch.evaluator.open, watch.evaluator.hosts) == (0, 1)


class FakeEnds:
    def __init__(self, **ends: int) -> None:
        self.now: dict[Place, int] = {(topic, 0): end for topic, end in ends.items()}
        self.positions: dict[Place, int] = {}
        self.away = False

    async def ends(self) -> Mapping[Place, int]:
        if self.away:
            raise BusError("the broker is away")
        return dict(self.now)

    async def position(self, place: Place) -> int:
        return self.positions.get(place, 0)


def read_to(topic: str, offset: int) -> list[Message]:
    return [Message(topic, 0, offset, None, b"", 0)]


async def test_we_vouch_for_what_was_there_at_the_check_before() -> None:
    ends = FakeEnds(metrics=5)
    hearing = Hearing(ends)
    assert await hearing.check(10) is None  # nothing to compare with
    assert await hearing.check(12) is None  # five messages are unread
    hearing.processed(read_to("metrics", 4))
    ends.now["metrics", 0] = 9  # and four more came meanwhile
    assert await hearing.check(14) == 12
    assert await hearing.check(16) is None
    hearing.processed(read_to("metrics", 8))
    assert await hearing.check(18) == 16


async def test_an_empty_topic_hides_nothing() -> None:
    hearing = Hearing(FakeEnds(metrics=0, anomalies=0))
    await hearing.check(10)
    assert await hearing.check(12) == 10


async def test_partitions_that_come_or_go_begin_it_anew() -> None:
    ends = FakeEnds(metrics=0)
    hearing = Hearing(ends)
    await hearing.check(10)
    ends.now["metrics", 1] = 7
    assert await hearing.check(12) is None
    ends.now.clear()
    assert await hearing.check(14) is None
    assert await hearing.check(16) is None


async def test_a_new_broker_with_lower_offsets_begins_it_anew() -> None:
    ends = FakeEnds(metrics=100)
    hearing = Hearing(ends)
    hearing.processed(read_to("metrics", 99))
    await hearing.check(10)
    assert await hearing.check(12) == 10
    ends.now["metrics", 0] = 3
    assert await hearing.check(14) is None
    assert await hearing.check(16) is None  # those three are unread
    hearing.processed(read_to("metrics", 2))
    assert await hearing.check(18) == 16


async def test_a_broker_that_is_away_is_heard_of() -> None:
    ends = FakeEnds(metrics=0)
    hearing = Hearing(ends)
    await hearing.check(10)
    ends.away = True
    with pytest.raises(BusError):
        await hearing.check(12)
    hearing.reset()
    ends.away = False
    assert await hearing.check(14) is None
    assert await hearing.check(16) == 14


async def test_a_partition_that_another_read_on_in_is_not_behind_when_it_comes_back() -> None:
    ends = FakeEnds(metrics=5)
    hearing = Hearing(ends)
    hearing.processed(read_to("metrics", 4))
    await hearing.check(10)
    assert await hearing.check(12) == 10
    gone, ends.now = ends.now, {}
    await hearing.check(14)
    assert not hearing.assigned
    ends.now = dict.fromkeys(gone, 50)
    ends.positions = dict.fromkeys(gone, 50)
    assert await hearing.check(16) is None
    assert await hearing.check(18) == 16
    assert hearing.assigned


async def test_how_far_behind_is_known_even_when_it_is_far() -> None:
    ends = FakeEnds(metrics=0)
    hearing = Hearing(ends)
    await hearing.check(0)
    for second in range(1, 1000):
        ends.now["metrics", 0] = second * 10
        hearing.processed(read_to("metrics", max(0, second - 300) * 10))  # always five minutes behind
        heard = await hearing.check(second)
        if second > 310 and heard is not None:
            assert 300 <= second - heard <= 340
    assert len(hearing._asked) <= 64


async def test_what_is_processed_in_constant_delay_is_heard_all_the_time() -> None:
    ends = FakeEnds(metrics=0)
    hearing = Hearing(ends)
    heard = []
    for second in range(60):
        ends.now["metrics", 0] = second * 10
        if second >= 5:
            hearing.processed(read_to("metrics", (second - 5) * 10))
        heard.append(await hearing.check(second))
    assert heard[20:] == [second - 5 for second in range(20, 60)]
