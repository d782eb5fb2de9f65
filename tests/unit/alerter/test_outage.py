"""A mail server that is away for an hour: nothing is lost, nothing comes twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller

from services.alerter.delivery.lanes import Lanes
from services.alerter.delivery.receivers import channels_of
from services.alerter.notification.notifier import Notifier
from services.alerter.routing.file import load_plan
from shared.runtime.clock import ManualClock
from shared.runtime.settings import Settings
from shared.schemas.alert import Delivery
from tests.support.ports import free_port
from tests.support.receivers import Mailbox, webhook_receiver
from tests.support.waiting import eventually
from tests.unit.alerter.support import alert

STEP_S = 10


class World:
    """A notifier and lanes on a clock that moves ten seconds at a time, once everything due was tried."""

    def __init__(self, settings: Settings) -> None:
        self.clock = ManualClock()
        self.records: list[Delivery] = []
        self.notifier = Notifier(load_plan(settings))
        self.lanes = Lanes(
            lambda receiver: channels_of(receiver, settings),
            self.record,
            self.clock,
            max_attempts=settings.alerter.max_attempts,
            timeout=5,
            wait=self.wait,
        )
        self._moved = asyncio.Condition()
        self._at_rest = 0
        self.lanes.set(self.notifier.plan.receivers.values())
        self._ways = sum(r.ways for r in self.notifier.plan.receivers.values())

    def record(self, delivery: Delivery) -> None:
        self.records.append(delivery)
        self.notifier.hear(delivery)

    async def wait(self, event: asyncio.Event, seconds: float | None) -> None:
        until = None if seconds is None else self.clock.monotonic() + seconds
        self._at_rest += 1
        async with self._moved:
            await self._moved.wait_for(
                lambda: event.is_set() or (until is not None and self.clock.monotonic() >= until)
            )
        self._at_rest -= 1

    async def go_on(self, seconds: int) -> None:
        for _ in range(0, seconds, STEP_S):
            self.clock.advance(STEP_S)
            decision = self.notifier.decide(self.clock.now_ms())
            for attention in decision.attention:
                self.notifier.hear(attention)
            for notification in decision.notifications:
                self.lanes.offer(notification)
            async with self._moved:
                self._moved.notify_all()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await eventually(lambda: self._at_rest == self._ways, every=0.001, that="the lanes wait")


async def test_an_hour_without_a_mail_server(tmp_path: Path) -> None:
    port = free_port()
    given: dict[str, Any] = {
        "data_dir": tmp_path,
        "alerter": {"email_to": ["ops@example.org"]},
        "smtp": {"host": "127.0.0.1", "port": port, "security": "none"},
    }
    world = World(Settings.model_validate(given))
    now = world.clock.now_ms()
    world.notifier.hear(alert("a", started_at=now - 30_000, ts=now, severity="critical"))
    await world.go_on(3600)
    assert {r.outcome for r in world.records} == {"temporary_failure", "gave_up"}
    assert world.records[-1].ts > now + 3_000_000  # to the end

    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        await world.go_on(900)
        (fired,) = mailbox.messages
        assert str(fired["Subject"]).startswith("[Critical")
        await world.go_on(3600)
        assert len(mailbox.messages) == 1
        world.notifier.hear(
            alert("a", state="resolved", started_at=now - 30_000, ts=world.clock.now_ms(), severity="critical")
        )
        await world.go_on(900)
    finally:
        controller.stop()
        await world.lanes.close()
    assert [str(m["Subject"])[:10] for m in mailbox.messages[1:]] == ["[Resolved]"]


async def test_what_the_webhook_of_a_receiver_took_reaches_its_mailbox_too_once_the_mail_server_is_back(
    tmp_path: Path,
) -> None:
    port = free_port()
    with webhook_receiver() as hooks:
        routing = tmp_path / "routing.yaml"
        routing.write_text(
            "route: {receiver: ops, group_wait: 0s}\n"
            f"receivers: [{{name: ops, email: {{to: [ops@example.org]}}, webhooks: [{{url: '{hooks.url}'}}]}}]\n"
        )
        given: dict[str, Any] = {
            "data_dir": tmp_path,
            "alerter": {"routing": routing},
            "smtp": {"host": "127.0.0.1", "port": port, "security": "none"},
        }
        world = World(Settings.model_validate(given))
        world.notifier.hear(alert("a", ts=world.clock.now_ms()))
        world.notifier.hear(alert("b", ts=world.clock.now_ms(), rule="memory_low"))
        await world.go_on(1800)
        world.notifier.hear(alert("c", ts=world.clock.now_ms(), rule="disk_full"))
        await world.go_on(60)
        mailbox = Mailbox()
        controller = Controller(mailbox, hostname="127.0.0.1", port=port)
        controller.start()
        try:
            await world.go_on(600)
            assert len(hooks.bodies) == 2
            (mail,) = mailbox.messages
            assert "and 2 more" in mail["Subject"]
            await world.go_on(3000)
        finally:
            controller.stop()
            await world.lanes.close()
        assert (len(mailbox.messages), len(hooks.bodies)) == (1, 2)
