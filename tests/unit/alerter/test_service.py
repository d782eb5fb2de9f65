"""The alerter as a part of the product: what it refuses to start with, and how it says that it is well."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from services.alerter.service import DEAF_SECONDS, FUTURE_SECONDS, STUCK_SECONDS, UNHEARD_SECONDS, build
from shared.bus.port import BusError, Message, Receipt
from shared.runtime.clock import ManualClock
from shared.runtime.health import Health
from shared.runtime.selfmetrics import exposition
from shared.runtime.settings import Settings, SettingsError
from shared.schemas.alert import Alert
from shared.schemas.codec import encode
from shared.schemas.sample import HostSample
from shared.schemas.topics import ALERTS, Topic
from tests.support.samples import host_sample
from tests.support.waiting import eventually
from tests.unit.alerter.support import alert


def settings(tmp_path: Path, **sections: Any) -> Settings:
    kafka = {"bootstrap_servers": "127.0.0.1:9"}
    return Settings.model_validate({"data_dir": tmp_path, "kafka": kafka, **sections})


class Topics:
    """A tail of topics on which somebody else says something."""

    def __init__(self) -> None:
        self.coming: asyncio.Queue[Message] = asyncio.Queue()

    async def start(self) -> None: ...

    async def messages(self) -> AsyncIterator[Sequence[Message]]:
        while True:
            yield [await self.coming.get()]

    def lag(self) -> int:
        return self.coming.qsize()

    def trouble(self) -> str | None:
        return None

    async def stop(self) -> None: ...


def test_bad_rules_are_refused_by_name_and_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("rules:\n  - name: a\n    title: t\n    metric: cpu.load\n    above: 1\n")
    with pytest.raises(
        SettingsError, match=r"LAPWING_ALERTER__RULES: .*mine\.yaml:4: rule `a`, metric: unknown metric"
    ):
        build(settings(tmp_path, alerter={"rules": tmp_path / "mine.yaml"}))


def test_mail_without_a_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="LAPWING_SMTP__HOST is not"):
        build(settings(tmp_path, alerter={"email_to": ["a@example.org"]}))


def test_nobody_to_tell_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        build(settings(tmp_path))
    (line,) = [r for r in caplog.records if "no receiver is configured" in r.getMessage()]
    assert "LAPWING_ALERTER__WEBHOOK_URL" in line.set  # type: ignore[attr-defined]


def test_health_is_progress_and_the_broker(tmp_path: Path) -> None:
    clock, health = ManualClock(), Health()
    build(settings(tmp_path), clock=clock, health=health)
    assert Health.failures(health.progress) == Health.failures(health.warnings) == {}
    clock.advance(max(STUCK_SECONDS, DEAF_SECONDS) + 1)
    assert "decided nothing for 61 s" in Health.failures(health.progress)["alerter"]
    assert "has not answered the alerter for 61 s" in Health.failures(health.warnings)["alerter"]


class Broker:
    """Takes everything; ``at_once`` is called before it says so."""

    def __init__(self) -> None:
        self.at_once: Callable[[], None] = lambda: None

    async def start(self) -> None: ...

    async def publish(self, topic: Topic, key: str, value: bytes | None, headers: object = None) -> Receipt:
        self.at_once()
        return Receipt(topic.name, 0, 0)

    async def stop(self) -> None: ...


async def test_who_does_not_hear_what_it_said_tells_nobody_and_says_so(tmp_path: Path) -> None:
    clock, health = ManualClock(), Health()
    alerter = build(settings(tmp_path), clock=clock, health=health, tail=Topics(), publisher=Broker())
    for _ in range(int(UNHEARD_SECONDS) + 2):
        await alerter._echo.publish(ALERTS, "h1", b"{}")
        clock.advance(1)
        alerter._ticked = clock.monotonic()
    assert "has not heard what it said on lapwing.alerts.v1 for 62 s" in Health.failures(health.progress)["alerter"]
    assert alerter._telling._behind()
    alerter.hear(alert("a"))
    assert Health.failures(health.progress) == {}
    assert not alerter._telling._behind()


async def test_what_comes_back_before_the_broker_has_answered_has_come_back(tmp_path: Path) -> None:
    clock, broker = ManualClock(), Broker()
    alerter = build(settings(tmp_path), clock=clock, tail=Topics(), publisher=broker)
    broker.at_once = lambda: alerter.hear(alert("a"))
    await alerter._echo.publish(ALERTS, "h1", b"{}")
    clock.advance(UNHEARD_SECONDS + 1)
    assert alerter._echo.missing == 0


def test_who_is_in_no_group_that_decides_who_tells_says_so(tmp_path: Path) -> None:
    clock, health = ManualClock(), Health()
    alerter = build(settings(tmp_path), clock=clock, health=health)
    clock.advance(DEAF_SECONDS + 1)
    alerter._heard = clock.monotonic()
    assert "in no group that decides who tells for 61 s" in Health.failures(health.warnings)["alerter"]


def test_a_clock_behind_all_others_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock, health = ManualClock(), Health()
    alerter = build(settings(tmp_path), clock=clock, health=health)
    for _ in range(int(FUTURE_SECONDS) + 2):
        for host in ("h1", "h2"):
            sample = HostSample.model_validate(host_sample(host_id=host, ts=clock.now_ms() + 700_000))
            alerter._evaluator.sample(sample, clock.now_ms(), clock.monotonic())
        clock.advance(1)
    alerter._heard = alerter._lease._confirmed = clock.monotonic()
    assert "was from the future: set this machine's clock" in Health.failures(health.warnings)["alerter"]
    assert len([r for r in caplog.records if "clock is ahead of ours" in r.getMessage()]) == 2
    sample = HostSample.model_validate(host_sample(host_id="h1", ts=clock.now_ms()))
    alerter._evaluator.sample(sample, clock.now_ms(), clock.monotonic())
    assert Health.failures(health.warnings) == {}


async def test_what_others_say_while_the_group_forms_is_known_when_their_hosts_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forming takes seconds; whose alerts of that time were not known would begin them anew, and never end theirs."""
    topics = Topics()
    alerter = build(settings(tmp_path), tail=topics)
    known: list[Alert] = []

    async def form() -> None:
        topics.coming.put_nowait(Message(ALERTS.name, 0, 0, b"h1", encode(alert("a")), 0))
        await eventually(lambda: not topics.coming.qsize())

    async def decide(decide: object) -> None:
        known.extend(alerter._known.of("h1"))
        raise BusError("that will do")

    monkeypatch.setattr(alerter._stream, "start", form)
    monkeypatch.setattr(alerter.processor, "decide", decide)
    with pytest.raises(BusError):
        await alerter.start()
    assert [a.alert_id for a in known] == ["a"]
    await alerter.stop()


def test_two_on_one_machine_have_names_of_their_own(tmp_path: Path) -> None:
    names = {build(settings(tmp_path / name))._evaluator._us._name for name in ("a", "b")}
    assert names == {f"{socket.gethostname()}:{tmp_path / name}" for name in ("a", "b")}


async def test_what_it_does_is_among_the_numbers(tmp_path: Path) -> None:
    alerter = build(settings(tmp_path, alerter={"max_hosts": 7}), tail=Topics(), publisher=Broker())
    sample = HostSample.model_validate(host_sample(host_id="h1"))
    alerter._evaluator.sample(sample, sample.ts, 0.0)
    alerter._count()
    found = exposition().splitlines()
    assert {"lapwing_alerter_hosts 1", "lapwing_alerter_leads 0", "lapwing_alerter_waiting_messages 0"} <= set(found)


async def test_stopping_before_starting_is_fine(tmp_path: Path) -> None:
    alerter = build(settings(tmp_path, alerter={"webhook_url": "http://127.0.0.1:1/x"}))
    await alerter.stop()
    await alerter.stop()
