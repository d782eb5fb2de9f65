"""Who may not tell."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.alerter import telling as room
from services.alerter.following import Following
from services.alerter.notification.notifier import Decision
from services.alerter.telling import LOOK_S, SETTLE_S, Telling
from shared.bus.port import Message
from shared.runtime.clock import ManualClock
from shared.schemas.topics import ALERTS
from tests.support.waiting import eventually


class Resting:
    """A notifier that has nothing to say."""

    def __init__(self) -> None:
        self.rested: list[int] = []
        self.decided: list[int] = []

    def decide(self, now_ms: int) -> Decision:
        self.decided.append(now_ms)
        return Decision([], [])

    def next_due(self) -> int | None:
        return None

    def rest(self, now_ms: int) -> None:
        self.rested.append(now_ms)


def test_who_stands_by_rests_once_all_is_heard() -> None:
    clock, behind = ManualClock(), [True]
    notifier: Any = Resting()
    unused: Any = None
    telling = Telling(
        notifier, unused, unused, clock, may=lambda: False, behind=lambda: behind[0], changed=asyncio.Event()
    )
    telling.decide()
    assert notifier.rested == []  # deliveries of what is over may be among what is still to be read
    behind[0] = False
    telling.decide()
    assert notifier.rested == [clock.now_ms()]


async def test_who_waits_for_what_it_said_is_woken_by_hearing_it_and_not_by_the_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, behind = ManualClock(), [True]
    notifier: Any = Resting()
    unused: Any = None
    heard = Following(unused, unused)
    telling = Telling(notifier, unused, unused, clock, may=lambda: True, behind=lambda: behind[0], changed=heard.heard)
    telling.leads(True)
    clock.advance(SETTLE_S)
    assert telling.decide() == LOOK_S, "it would look a hundred times a second"
    monkeypatch.setattr(room, "LOOK_S", 3600.0)
    running = asyncio.create_task(telling.run())
    await eventually(lambda: not heard.heard.is_set())
    behind[0] = False
    heard._take([Message(ALERTS.name, 0, 0, b"h1", b"no event", 0)])
    await eventually(lambda: notifier.decided)
    running.cancel()
