"""Samples in, messages out: the alerter on a real broker, telling a real HTTP server and a real mail server."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.alerter.following import read
from services.alerter.service import Alerter, build
from shared.broker.embedded import EmbeddedBroker
from shared.bus.kafka import publisher, tail
from shared.bus.port import Publisher
from shared.runtime.settings import Settings
from shared.schemas.alert import Alert, Delivery
from shared.schemas.anomaly import Anomaly
from shared.schemas.codec import encode
from shared.schemas.sample import Cpu, HostSample
from shared.schemas.topics import ALERTS, ANOMALIES, METRICS
from tests.support.broker import settings_for
from tests.support.receivers import Mailbox, Webhooks, mail_receiver
from tests.support.waiting import eventually

HOST = "0123456789abcdef"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_receiver() as mailbox:
        yield mailbox


@pytest.fixture
def settings(broker: EmbeddedBroker, hooks: Webhooks, mailbox: Mailbox, tmp_path: Path) -> Settings:
    return settings_for(
        broker.address,
        tmp_path,
        alerter={"webhook_url": hooks.url, "email_to": ["ops@example.org"]},
        smtp={"host": mailbox.host, "port": mailbox.port, "security": "none", "from": "lapwing@example.org"},
    )


class Sender:
    """A host whose samples are as old as we say."""

    def __init__(self, bus: Publisher) -> None:
        self._bus = bus
        self._last = 0

    async def cpu(self, percent: float, seconds: int) -> None:
        """So many samples, one a second of event time; the next ones continue there."""
        self._last = self._last or round(time.time() * 1000) - 120_000
        for _ in range(seconds):
            self._last += 1000
            sample = HostSample(
                event_id=f"{HOST}:{self._last}",
                ts=self._last,
                host_id=HOST,
                host="web1",
                labels={"env": "test"},
                cpu=Cpu(count=2, percent=percent),
            )
            await self._bus.publish(METRICS, HOST, encode(sample))

    async def anomaly(self, state: str) -> None:
        now = round(time.time() * 1000)
        anomaly = Anomaly(
            event_id=f"a1:{state}",
            ts=now,
            anomaly_id="a1",
            host_id=HOST,
            host="web1",
            state=state,
            severity="critical",
            score=3.2,
            peak_score=3.2,
            started_at=now - 1000,
            ended_at=now if state == "close" else None,
            summary="cpu.percent is far from what it usually is",
        )
        await self._bus.publish(ANOMALIES, HOST, encode(anomaly))


@pytest.fixture
async def sender(settings: Settings) -> AsyncIterator[Sender]:
    bus = publisher(settings.kafka, "test")
    await bus.start()
    yield Sender(bus)
    await bus.stop()


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Alerter]:
    alerter = build(settings, session_timeout=2.0)
    try:
        await alerter.start()
        yield alerter
    finally:
        await alerter.stop()


async def recorded(settings: Settings) -> list[Alert | Delivery]:
    """Everything on the alerts topic."""
    reader = tail(settings.kafka, [ALERTS], "test-reader")
    await reader.start()
    events: list[Alert | Delivery] = []
    try:
        if reader.lag():
            async for batch in reader.messages():
                events += [event for message in batch for event in read(message.value or b"")]
                if not reader.lag():
                    break
    finally:
        await reader.stop()
    return events


def about(hooks: Webhooks, rule: str) -> list[str]:
    """What the webhooks said of a rule, in order."""
    return [body["status"] for body in hooks.bodies if body["groupLabels"] == {"alertname": rule}]


def subjects(mailbox: Mailbox) -> list[str]:
    return [str(message["Subject"]) for message in mailbox.messages]


async def test_a_busy_cpu_is_told_and_its_end_too(
    settings: Settings, hooks: Webhooks, mailbox: Mailbox, sender: Sender
) -> None:
    async with running(settings):
        await sender.cpu(99.0, 35)
        await eventually(lambda: about(hooks, "cpu_busy") == ["firing"])
        await eventually(lambda: len(mailbox.messages) == 1)
        await sender.cpu(3.0, 20)
        await eventually(lambda: about(hooks, "cpu_busy") == ["firing", "resolved"])
        await eventually(lambda: len(mailbox.messages) == 2)

        fired, resolved = [body["alerts"][0] for body in hooks.bodies]
        assert fired["labels"]["host"] == "web1"
        assert fired["labels"]["env"] == "test"
        assert fired["endsAt"] == "0001-01-01T00:00:00Z"
        assert fired["fingerprint"] == resolved["fingerprint"]
        assert fired["startsAt"] == resolved["startsAt"] < resolved["endsAt"]
        assert subjects(mailbox) == ["[Warning] CPU is busy: web1", "[Resolved] CPU is busy: web1"]

        await eventually(lambda: _outcomes(settings, {("email", "delivered"), ("webhook", "delivered")}, 4))
    events = await recorded(settings)
    alerts = [e for e in events if isinstance(e, Alert)]
    assert [a.state for a in alerts] == ["pending", "firing", "resolved"]
    assert len({a.alert_id for a in alerts}) == 1
    outcomes = {(e.receiver, e.status, e.outcome) for e in events if isinstance(e, Delivery)}
    assert outcomes == {(r, s, "delivered") for r in ("webhook", "email") for s in ("firing", "resolved")}


async def _outcomes(settings: Settings, wanted: set[tuple[str, str]], least: int = 2) -> bool:
    """Whether so many attempts are on the topic, with these outcomes and no others."""
    found = [(e.receiver, e.outcome) for e in await recorded(settings) if isinstance(e, Delivery)]
    return len(found) >= least and set(found) == wanted


async def test_a_restart_neither_repeats_nor_forgets(
    settings: Settings, hooks: Webhooks, mailbox: Mailbox, sender: Sender
) -> None:
    async with running(settings):
        await sender.cpu(99.0, 35)
        await eventually(lambda: about(hooks, "cpu_busy") == ["firing"])
        await eventually(lambda: len(mailbox.messages) == 1)
        await eventually(lambda: _outcomes(settings, {("email", "delivered"), ("webhook", "delivered")}))
    async with running(settings):
        await sender.cpu(99.0, 5)
        await sender.cpu(3.0, 20)
        await eventually(lambda: len(hooks.bodies) >= 2 and len(mailbox.messages) >= 2)
    assert about(hooks, "cpu_busy") == ["firing", "resolved"]
    assert len(mailbox.messages) == 2
    assert hooks.bodies[0]["alerts"][0]["startsAt"] == hooks.bodies[1]["alerts"][0]["startsAt"]


async def test_what_was_not_delivered_before_a_crash_is_delivered_after_it(
    settings: Settings, hooks: Webhooks, mailbox: Mailbox, sender: Sender
) -> None:
    hooks.statuses = [503] * 100
    alerter = build(settings, session_timeout=2.0)
    await alerter.start()
    await sender.cpu(99.0, 35)
    await eventually(lambda: len(mailbox.messages) == 1)
    # A yes that nobody wrote down would be asked for again, rightly; here it is written down.
    await eventually(lambda: _outcomes(settings, {("email", "delivered"), ("webhook", "temporary_failure")}))

    # Nothing says goodbye after a kill -9; the tasks just end.
    for task in alerter._tasks:
        task.cancel()
    await alerter._stream.stop()
    await alerter._echo.stop()
    await alerter.lanes.close()

    hooks.statuses.clear()
    async with running(settings):
        await eventually(lambda: about(hooks, "cpu_busy") == ["firing"])
        await sender.cpu(3.0, 20)
        await eventually(lambda: about(hooks, "cpu_busy") == ["firing", "resolved"])
        await eventually(lambda: len(mailbox.messages) == 2)


async def test_anomalies_are_told(settings: Settings, hooks: Webhooks, mailbox: Mailbox, sender: Sender) -> None:
    async with running(settings):
        await sender.anomaly("open")
        await eventually(lambda: about(hooks, "anomaly_critical") == ["firing"])
        assert about(hooks, "anomaly") == []  # the critical one says it already
        assert hooks.bodies[0]["alerts"][0]["annotations"]["description"].startswith("cpu.percent is far")
