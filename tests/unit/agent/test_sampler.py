"""A tick: what is due goes into an event, and who fails or hangs costs its own section only."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from services.agent import lanes
from services.agent.collectors.base import Rest, finished
from services.agent.identity import Identity
from services.agent.lanes import Probe
from services.agent.paths import HostPaths
from services.agent.sampler import Sampler, encode, event_id
from shared.runtime.clock import ManualClock
from shared.runtime.selfmetrics import AGENT_COLLECTOR_FAILURES, AGENT_COLLECTOR_SECONDS, AGENT_TICKS_MISSED
from tests.support.waiting import eventually
from tests.unit.agent.fakes import FakeCollector

IDENTITY = Identity("host-1", {"env": "test"}, "web-3", HostPaths())


class Numbers:
    def __init__(self) -> None:
        self.last = 0

    def next(self) -> int:
        self.last += 1
        return self.last


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def build(clock: ManualClock) -> Iterator[Callable[..., Sampler]]:
    built: list[Sampler] = []

    def make(*probes: Probe, **more: Any) -> Sampler:
        built.append(
            Sampler(
                IDENTITY,
                probes,
                clock=clock,
                interval=0.2,
                collector_timeout=5.0,
                numbers=Numbers(),
                **more,
            )
        )
        return built[-1]

    yield make
    for sampler in built:
        sampler.stop()


async def test_an_event_says_whose_it_is_and_when(build: Callable[..., Sampler], clock: ManualClock) -> None:
    sampler = build(Probe(FakeCollector()))
    event = json.loads(await sampler.tick(0))
    assert event == {
        "schema_version": 1,
        "kind": "sample",
        "event_id": f"host-1-{clock.now_ms()}-1",
        "ts": clock.now_ms(),
        "host_id": "host-1",
        "host": "web-3",
        "labels": {"env": "test"},
        "seq": 1,
        "run": 1,
        "load": {"calls": 1},
    }
    again = json.loads(await sampler.tick(1))
    assert (again["seq"], again["run"]) == (2, 1), "the run is named by its first number"


async def test_each_section_has_its_own_interval(build: Callable[..., Sampler]) -> None:
    sampler = build(Probe(FakeCollector("load")), Probe(FakeCollector("processes"), every=3))
    sections = []
    missed = AGENT_TICKS_MISSED.value()
    for slot in (0, 1, 2, 3, 4, 8):
        event = json.loads(await sampler.tick(slot))
        sections.append("processes" in event)
        assert "load" in event
    assert sections == [True, False, False, True, False, True]
    assert AGENT_TICKS_MISSED.value() == missed + 3


async def test_the_first_event_has_every_section_also_the_slow_ones(build: Callable[..., Sampler]) -> None:
    slow = FakeCollector("disks")
    slow.hang = threading.Event()
    threading.Timer(0.3, slow.hang.set).start()
    sampler = build(Probe(FakeCollector()), Probe(slow, background=True))
    assert {"load", "disks"} <= json.loads(await sampler.tick(0)).keys()


async def test_what_the_host_is_comes_with_what_the_agent_is(build: Callable[..., Sampler]) -> None:
    """Readers keep the two together."""
    sampler = build(
        Probe(FakeCollector("system"), every=7, background=True),
        Probe(FakeCollector()),
        about_itself=lambda seconds, failing: {"version": "1"},
        about_itself_every=100,
    )
    told = 0
    for slot in range(1000):
        event = json.loads(await sampler.tick(slot))
        assert ("system" in event) == ("agent" in event)
        told += "agent" in event
        if told == 3:
            return
    raise AssertionError(f"told {told} times only")


async def test_priming_lets_the_first_event_have_rates(build: Callable[..., Sampler]) -> None:
    sampler = build(Probe(FakeCollector()))
    await sampler.prime()
    assert json.loads(await sampler.tick(0))["load"] == {"calls": 2}


async def test_a_collector_that_fails_costs_its_section_and_is_said_once(
    build: Callable[..., Sampler], caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = FakeCollector("disks"), FakeCollector("load")
    failures = AGENT_COLLECTOR_FAILURES.value("disks")
    bad.error = OSError("no such thing")
    sampler = build(Probe(bad), Probe(good), about_itself=lambda seconds, failing: {"failed": failing})
    with caplog.at_level(logging.INFO):
        for slot in range(4):
            event = json.loads(await sampler.tick(slot))
            assert "disks" not in event
            assert "load" in event
            if slot == 0:
                assert event["agent"]["failed"] == {"disks": "OSError: no such thing"}
        bad.error = None
        event = json.loads(await sampler.tick(4))
        assert event["disks"] == {"calls": 5}
        assert event["agent"]["failed"] == {}, "a change is told at once"
    assert [r.getMessage() for r in caplog.records if r.name.startswith("services.agent")] == [
        "a collector fails",
        "a collector works again",
    ]
    assert AGENT_COLLECTOR_FAILURES.value("disks") == failures + 4
    assert (AGENT_COLLECTOR_SECONDS.value("disks") or 0) > 0


@pytest.mark.parametrize("background", [False, True])
async def test_a_collector_that_hangs_costs_its_section_and_one_thread(
    build: Callable[..., Sampler], clock: ManualClock, caplog: pytest.LogCaptureFixture, background: bool
) -> None:
    hanging, before, after = FakeCollector("disks"), FakeCollector("load"), FakeCollector("gpus")
    probes = [Probe(c, background=background) for c in (before, hanging, after)]
    sampler = build(*probes, about_itself=lambda seconds, failing: {"failed": failing})
    await sampler.tick(0)
    hanging.hang = threading.Event()
    others = threading.active_count()
    with caplog.at_level(logging.INFO):
        await sampler.tick(1)
        await eventually(lambda: hanging.calls == 2)
        for slot in range(2, 30):
            clock.advance(1.0)
            await sampler.tick(slot)
        assert hanging.calls == 2, "not asked again while it hangs"
        assert threading.active_count() <= others + 1, "threads do not pile up"
        assert caplog.text.count("a collector fails") == 1
        calls = (before.calls, after.calls)
        await eventually(lambda: sampler_runs(sampler, clock, calls, (before, after)))

        hanging.hang.set()
        hanging.hang = None
        await eventually(lambda: probes[1].asked_at is None)
        clock.advance(1.0)
        event = json.loads(await sampler.tick(100))
        assert "disks" in event
        assert caplog.text.count("a collector works again") == 1
    await eventually(lambda: threading.active_count() <= others)


async def sampler_runs(
    sampler: Sampler, clock: ManualClock, calls: tuple[int, int], collectors: tuple[FakeCollector, FakeCollector]
) -> bool:
    """The others are still being collected."""
    clock.advance(1.0)
    await sampler.tick(sampler._slot + 1)
    return all(c.calls > n + 3 for c, n in zip(collectors, calls, strict=True))


async def test_what_is_instant_needs_no_thread(build: Callable[..., Sampler]) -> None:
    where: list[threading.Thread] = []
    here = FakeCollector("load")
    here.collect = lambda now: where.append(threading.current_thread()) or {"n": len(where)}  # type: ignore
    sampler = build(Probe(here, instant=True))
    for slot in range(3):
        assert json.loads(await sampler.tick(slot))["load"] == {"n": slot + 1}
    assert set(where) == {threading.current_thread()}


async def test_what_is_instant_may_fail_like_anybody(build: Callable[..., Sampler]) -> None:
    bad = FakeCollector("load")
    bad.error = OSError("no such thing")
    sampler = build(Probe(bad, instant=True), about_itself=lambda seconds, failing: {"failed": failing})
    event = json.loads(await sampler.tick(0))
    assert "load" not in event
    assert event["agent"]["failed"] == {"load": "OSError: no such thing"}


async def test_who_is_not_as_quick_as_promised_is_given_a_thread(
    build: Callable[..., Sampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = FakeCollector("load")
    probe = Probe(slow, instant=True)
    sampler = build(probe)
    monkeypatch.setattr(lanes, "SLOW", -1.0)
    for slot in range(lanes.SLOW_AT_MOST):
        assert probe.instant
        await sampler.tick(slot)
    assert not probe.instant
    assert json.loads(await sampler.tick(100))["load"] == {"calls": lanes.SLOW_AT_MOST + 1}


class TwoSteps:
    """A collector whose second step, when there is one, may hang."""

    section = "processes"

    def __init__(self) -> None:
        self.hang: threading.Event | None = None
        self.finished_in: list[threading.Thread] = []

    def begin(self, now: float) -> Any:
        return {"steps": 1} if self.hang is None else Rest(self._finish)

    def collect(self, now: float) -> Any:
        return finished(self.begin(now))

    def _finish(self) -> Any:
        self.finished_in.append(threading.current_thread())
        assert self.hang is not None
        self.hang.wait(30)
        return {"steps": 2}


async def test_a_part_that_may_wait_is_done_in_a_thread_and_costs_its_section_only(
    build: Callable[..., Sampler], clock: ManualClock
) -> None:
    both, other = TwoSteps(), FakeCollector("load")
    probe = Probe(both, instant=True)
    sampler = build(
        probe,
        Probe(other, instant=True),
        about_itself=lambda seconds, failing: {"failed": failing},
        about_itself_every=1,
    )
    assert json.loads(await sampler.tick(0))["processes"] == {"steps": 1}
    both.hang = threading.Event()
    for slot in range(1, 8):
        clock.advance(1.0)
        event = json.loads(await sampler.tick(slot))
        assert "processes" not in event
        assert event["load"] == {"calls": slot + 1}
    assert event["agent"]["failed"].keys() == {"processes"}
    assert len(both.finished_in) == 1, "not asked again while it hangs"
    assert both.finished_in[0] is not threading.current_thread()

    both.hang.set()
    await eventually(lambda: probe.asked_at is None)
    both.hang = None
    probe.take()
    assert json.loads(await sampler.tick(100))["processes"] == {"steps": 1}


async def test_what_comes_late_is_in_a_later_event(build: Callable[..., Sampler], clock: ManualClock) -> None:
    late = FakeCollector("disks")
    sampler = build(Probe(late, every=10, background=True), Probe(FakeCollector()))
    await sampler.tick(0)
    late.hang = threading.Event()
    assert "disks" not in json.loads(await sampler.tick(10))
    late.hang.set()
    await eventually(lambda: sampler.probes[0].asked_at is None)
    assert json.loads(await sampler.tick(11))["disks"] == {"calls": 2}
    assert "disks" not in json.loads(await sampler.tick(12))


async def test_instants_increase_and_events_go_on_when_the_clock_jumps(
    build: Callable[..., Sampler], clock: ManualClock
) -> None:
    sampler = build(Probe(FakeCollector()))
    instants, ids = [], set()
    for slot, jump in enumerate([0, 0, -30, 0, 90, 0, -60, 0, 0]):
        clock.jump(jump)
        clock.advance(1.0)
        event = json.loads(await sampler.tick(slot))
        instants.append(event["ts"])
        ids.add(event["event_id"])
    assert instants == sorted(set(instants))
    assert len(ids) == len(instants)


def test_an_event_id_is_short_however_long_the_host_id() -> None:
    assert event_id("a" * 128, 2**53, 2**53) == event_id("a" * 128, 2**53, 2**53)
    assert len(event_id("a" * 128, 2**53, 2**53)) <= 128
    assert event_id("a" * 128, 1, 1) != event_id("a" * 127 + "b", 1, 1)


def test_an_event_that_no_message_can_hold_loses_its_command_lines_first() -> None:
    processes = [{"pid": pid, "cmdline": ["x" * 4000]} for pid in range(1000)]
    event = {"ts": 1, "host_id": "h", "processes": {"count": 1000, "top": processes}, "disks": [{"n": 1}] * 3}
    line = encode(event, most=100_000)
    assert len(line) <= 100_000
    short = json.loads(line)
    assert short["processes"]["count"] == 1000
    assert len(short["processes"]["top"]) == 512
    assert short["disks"] == [{"n": 1}] * 3
    assert processes[0]["cmdline"], "what the collector keeps is not touched"


async def test_what_cannot_be_encoded_costs_its_section(build: Callable[..., Sampler]) -> None:
    odd = FakeCollector("disks")
    odd.collect = lambda now: {"name": "\udc80", "x": object()}  # type: ignore[method-assign]
    event = json.loads(await build(Probe(odd), Probe(FakeCollector())).tick(0))
    assert "disks" not in event
    assert "load" in event
