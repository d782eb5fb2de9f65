"""The agent as a service: started, watched, stopped."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from services.agent.service import AgentService, build
from shared.runtime.clock import SystemClock
from shared.runtime.health import Health
from shared.runtime.settings import AgentSettings, Settings
from tests.support.waiting import eventually
from tests.unit.agent.fakes import FakeCollector, FakePublisher


def configured(tmp_path: Path, **agent: Any) -> Settings:
    agent = {"interval": 0.1, "host_id": "host-1", "host": "web-3", **agent}
    return Settings(data_dir=tmp_path, agent=AgentSettings(**agent))


def events(publisher: FakePublisher) -> list[dict[str, Any]]:
    return [json.loads(line) for message in publisher.sent for line in message.lines]


async def test_events_come_tick_by_tick_and_number_on_after_a_restart(tmp_path: Path) -> None:
    publisher = FakePublisher()
    for wanted in (5, 10):
        service = build(configured(tmp_path), publisher=publisher, collectors=[FakeCollector()])
        await service.start()
        await eventually(lambda n=wanted: len(publisher.sent) >= n)  # type: ignore[misc]
        await service.stop()
        await service.stop()
    found = events(publisher)
    seqs = [e["seq"] for e in found]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), "without a gap"
    instants = [e["ts"] for e in found]
    assert instants == sorted(set(instants))
    assert len({e["event_id"] for e in found}) == len(found)
    assert len({e["agent"]["started_at"] for e in found if "agent" in e}) == 2
    assert publisher.stopped


async def test_instants_increase_through_a_restart_with_the_clock_set_back(tmp_path: Path) -> None:
    class Behind(SystemClock):
        def now_ms(self) -> int:
            return super().now_ms() - 60_000

    publisher = FakePublisher()
    for wanted, clock in ((5, SystemClock()), (10, Behind())):
        service = build(configured(tmp_path), publisher=publisher, collectors=[FakeCollector()], clock=clock)
        await service.start()
        await eventually(lambda n=wanted: len(publisher.sent) >= n)  # type: ignore[misc]
        await service.stop()
    instants = [e["ts"] for e in events(publisher)]
    assert instants == sorted(set(instants))


async def test_a_broker_that_hangs_does_not_hold_up_a_tick(tmp_path: Path) -> None:
    publisher, collector = FakePublisher(stuck=asyncio.Event()), FakeCollector()
    service = build(configured(tmp_path), publisher=publisher, collectors=[collector])
    await service.start()
    await eventually(lambda: collector.calls > 10)
    assert publisher.sent == []
    async with asyncio.timeout(30):  # what hangs hangs for ever
        await service.stop()
    assert any((tmp_path / "agent" / "spool").iterdir()), "kept for the next start"


async def test_health_says_when_nothing_is_measured_and_when_the_bus_is_away(tmp_path: Path) -> None:
    publisher, health = FakePublisher(), Health()
    publisher.away()
    service = build(configured(tmp_path), publisher=publisher, collectors=[FakeCollector()], health=health)
    assert Health.failures(health.progress) == {"agent": "the agent has not started"}
    await service.start()
    assert Health.failures(health.progress) == {}
    await eventually(lambda: "nobody there" in Health.failures(health.warnings).get("agent: bus", ""))
    publisher.back()
    await eventually(lambda: Health.failures(health.warnings) == {})
    await service.stop()


async def test_what_kills_the_way_out_kills_the_service(tmp_path: Path) -> None:
    publisher = FakePublisher()

    def broken(value: bytes) -> None:
        raise ZeroDivisionError

    publisher.fail = broken
    service = build(configured(tmp_path), publisher=publisher, collectors=[FakeCollector()])
    await service.start()
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(service.watch(), 60)
    await service.stop()


async def test_stopping_before_starting_and_with_a_collector_that_hangs(tmp_path: Path) -> None:
    publisher, collector = FakePublisher(), FakeCollector()
    service = build(configured(tmp_path), publisher=publisher, collectors=[collector])
    await service.stop()

    service = build(configured(tmp_path), publisher=publisher, collectors=[collector])
    await service.start()
    collector.hang = threading.Event()
    collector.entered.clear()
    await eventually(collector.entered.is_set)
    async with asyncio.timeout(25):  # a collector of these tests hangs for 30 s
        await service.stop()
    collector.hang.set()


async def test_a_data_directory_that_cannot_be_used_is_said_at_start(tmp_path: Path) -> None:
    (tmp_path / "agent").write_text("in the way")
    service = build(configured(tmp_path), publisher=FakePublisher(), collectors=[])
    with pytest.raises(OSError):
        await service.start()
    await service.stop()


def test_it_is_built_without_touching_anything(tmp_path: Path) -> None:
    service = build(configured(tmp_path / "not yet"), publisher=FakePublisher())
    assert isinstance(service, AgentService)
    assert service.name == "agent"
    assert not (tmp_path / "not yet").exists()
