"""Who may not tell."""

from __future__ import annotations

from typing import Any

from services.alerter.telling import Telling
from shared.runtime.clock import ManualClock


class Resting:
    """A notifier that is asked for nothing but rest."""

    def __init__(self) -> None:
        self.rested: list[int] = []

    def rest(self, now_ms: int) -> None:
        self.rested.append(now_ms)


def test_who_stands_by_rests_once_all_is_heard() -> None:
    clock, behind = ManualClock(), [True]
    notifier: Any = Resting()
    unused: Any = None
    telling = Telling(notifier, unused, unused, clock, may=lambda: False, behind=lambda: behind[0])
    telling.decide()
    assert notifier.rested == []  # deliveries of what is over may be among what is still to be read
    behind[0] = False
    telling.decide()
    assert notifier.rested == [clock.now_ms()]
