"""Quiet hours by the clock on the wall, in every zone there is and across every change of its clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.alerting.quiet_hours import is_quiet, next_change
from shared.schemas.control import QuietHours

MINUTE = 60_000
DAY = 1440
ZONES = sorted(available_timezones())
YEARS = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))


def hours(zone: str, begins: int, ends: int, days: tuple[int, ...] = tuple(range(7))) -> QuietHours:
    return QuietHours(name="night", zone=zone, days=list(days), begins=begins, ends=ends)


def at(text: str, zone: str = "UTC", fold: int = 0) -> int:
    """Epoch milliseconds of a time on the wall of a zone."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)


def shown(zone: str, instant: int) -> tuple[int, int]:
    """Weekday and minute of the day that the wall shows."""
    local = datetime.fromtimestamp(instant / 1000, ZoneInfo(zone))
    return local.weekday(), local.hour * 60 + local.minute


def oracle(quiet: QuietHours, instant: int) -> bool:
    """By a list of every minute of the week at which it is quiet."""
    weekday, minute = shown(quiet.zone, instant)
    lasts = quiet.ends - quiet.begins if quiet.begins < quiet.ends else quiet.ends + DAY - quiet.begins
    return any((weekday * DAY + minute - day * DAY - quiet.begins) % (7 * DAY) < lasts for day in quiet.days)


def changes(zone: str) -> list[int]:
    """Instants, to the minute, at which the clocks of the zone are set, in some years."""
    found = []
    day, tz = YEARS[0], ZoneInfo(zone)
    while day < YEARS[1]:
        following = day + timedelta(days=5)
        if day.astimezone(tz).utcoffset() != following.astimezone(tz).utcoffset():
            low, high = day, following
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) // 2
                same = middle.astimezone(tz).utcoffset() == low.astimezone(tz).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            found.append(round(high.timestamp()) // 60 * MINUTE)
        day = following
    return found


def walk(quiet: QuietHours, begin: int, minutes: int) -> None:
    """Minute by minute: quiet when the oracle says so, and every change foretold to the minute, none invented."""
    begin = begin // MINUTE * MINUTE
    foretold = next_change(quiet, begin)
    was = oracle(quiet, begin)
    for instant in range(begin, begin + minutes * MINUTE, MINUTE):
        now = oracle(quiet, instant)
        assert is_quiet(quiet, instant + instant // MINUTE * 7919 % MINUTE) == now
        if now != was:
            assert foretold == instant
            foretold = next_change(quiet, instant)
            was = now
    assert foretold is None or foretold >= begin + minutes * MINUTE


def test_a_night_that_crosses_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    friday_night = hours("Europe/Berlin", 22 * 60, 7 * 60, (4,))
    for text, quiet in [
        ("2026-11-27T21:59:59", False),
        ("2026-11-27T22:00:00", True),
        ("2026-11-28T06:59:59", True),
        ("2026-11-28T07:00:00", False),
        ("2026-11-28T22:00:00", False),
        ("2026-11-27T06:00:00", False),
    ]:
        assert is_quiet(friday_night, at(text, "Europe/Berlin")) == quiet, text


def test_the_night_on_which_the_clocks_are_set_forward_is_shorter() -> None:
    night = hours("Europe/Berlin", 22 * 60, 7 * 60)
    begin = at("2026-03-28T22:00:00", "Europe/Berlin")
    assert next_change(night, begin - 1) == begin
    assert next_change(night, begin) == begin + 8 * 60 * MINUTE


def test_the_night_on_which_they_are_set_back_is_longer() -> None:
    night = hours("Europe/Berlin", 22 * 60, 7 * 60)
    begin = at("2026-10-24T22:00:00", "Europe/Berlin")
    assert next_change(night, begin) == begin + 10 * 60 * MINUTE


def test_quiet_hours_that_would_begin_in_the_hour_that_is_left_out_begin_after_it() -> None:
    early = hours("Europe/Berlin", 2 * 60 + 30, 4 * 60)
    assert next_change(early, at("2026-03-29T01:00:00", "Europe/Berlin")) == at("2026-03-29T03:00:00", "Europe/Berlin")


def test_whole_days_follow_each_other_without_a_gap() -> None:
    weekend = hours("Asia/Shanghai", 0, DAY, (5, 6))
    begin = at("2026-11-28T00:00:00", "Asia/Shanghai")
    assert next_change(weekend, begin - MINUTE) == begin
    assert next_change(weekend, begin) == begin + 2 * DAY * MINUTE
    assert next_change(hours("UTC", 0, DAY), begin) is None


@pytest.mark.parametrize("part", range(10))
def test_every_zone_over_an_ordinary_day_and_over_its_changes(part: int) -> None:
    for zone in ZONES[part::10]:
        instants = changes(zone)
        for instant in [YEARS[0].timestamp() * 1000, *instants[:1], *instants[-1:]]:
            minute = shown(zone, round(instant))[1]
            # Limits near to the change are those that may be left out or come twice.
            for begins, ends in ((22 * 60, 7 * 60), ((minute - 20) % DAY, (minute + 20) % DAY)):
                walk(hours(zone, begins, ends), round(instant) - 60 * MINUTE, 120)


@settings(max_examples=30, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    begins=st.integers(0, DAY - 1),
    lasts=st.integers(1, DAY - 1),
    days=st.sets(st.integers(0, 6), min_size=1),
    day=st.integers(0, 700),
)
@example(zone="Pacific/Apia", begins=1380, lasts=120, days={3, 4}, day=1)
@example(zone="Antarctica/Troll", begins=60, lasts=60, days={6}, day=86)
@example(zone="Australia/Lord_Howe", begins=105, lasts=20, days={6}, day=92)
def test_any_quiet_hours_on_any_days(zone: str, begins: int, lasts: int, days: set[int], day: int) -> None:
    ends = begins + lasts
    quiet = hours(zone, begins, ends if ends <= DAY else ends % DAY, tuple(sorted(days)))
    begin = round((YEARS[0] + timedelta(days=day)).timestamp() * 1000)
    walk(quiet, begin, DAY)


@settings(max_examples=30, deadline=None)
@given(
    zone=st.sampled_from([z for z in ZONES if z.split("/")[0] in ("Europe", "America", "Australia", "Africa")]),
    data=st.data(),
)
def test_any_quiet_hours_over_the_change_of_the_clocks(zone: str, data: st.DataObject) -> None:
    instants = changes(zone)
    if instants:
        change = data.draw(st.sampled_from(instants))
        begins = (shown(zone, change)[1] + data.draw(st.integers(-130, 130))) % DAY
        ends = (begins + data.draw(st.integers(1, 200))) % DAY
        if begins != ends:
            walk(hours(zone, begins, ends), change - 150 * MINUTE, 300)
