"""What flaps, for as long as it likes: in bounded memory, whoever decides."""

from __future__ import annotations

from services.alerter.notification.flapping import Flaps
from services.alerter.routing.plan import Flapping

MINUTE = 60_000
NOW = 1_800_000_000_000


def test_what_flaps_for_a_month_waits_for_its_end_once() -> None:
    leads, stands_by = Flaps(Flapping()), Flaps(Flapping())
    for now in range(NOW, NOW + 30 * 1440 * MINUTE, 5 * MINUTE):
        for flaps in (leads, stands_by):
            flaps.fired("f", now)
        assert leads.turn(now) == []
    assert leads.flapping("f") and stands_by.flapping("f")
    assert len(leads._ends) == len(stands_by._ends) == 1
    for flaps in (leads, stands_by):
        assert flaps.turn(now + 29 * MINUTE) == []
        assert flaps.turn(now + 30 * MINUTE) == ["f"]
        assert not flaps.flapping("f")
        assert flaps.next_turn() is None


def test_a_clock_that_was_ahead_keeps_nobody_waiting() -> None:
    flaps = Flaps(Flapping())
    for n in range(5):
        flaps.fired("f", NOW + 9 * MINUTE + n)
    flaps.believe("f", NOW)
    assert flaps.turn(NOW + 30 * MINUTE) == ["f"]
    assert flaps.turn(NOW + 60 * MINUTE) == []
