"""What a host does every night is no news; once, or at another hour, it is."""

from __future__ import annotations

from functools import cache

from services.detector.core import HostCore, Verdict
from tests.unit.detector.core.hosts import DAY_MS, HOUR_MS, MINUTE_MS, START_MS, quiet, times

MIDNIGHT = START_MS - START_MS % DAY_MS + DAY_MS
NIGHTS = 14


def backup(ts: int) -> dict[str, float]:
    return quiet(ts) | {"m2": quiet(ts)["m2"] + 25, "m3": quiet(ts)["m3"] + 40}


@cache
def nights() -> tuple[bytes, tuple[Verdict, ...]]:
    """A host with a backup of twenty minutes at two each night; what was said of its first events."""
    core, told = HostCore(), []
    for ts in times(24 * NIGHTS, start_ms=MIDNIGHT):
        at_two = ts % DAY_MS - 2 * HOUR_MS
        verdict = core.observe(ts, backup(ts) if 0 <= at_two < 20 * MINUTE_MS else quiet(ts))
        if at_two == 0:
            told.append(verdict)
    return core.state(), tuple(told)


def used_to_it() -> tuple[HostCore, int]:
    """That host, and the time of its next backup."""
    core = HostCore()
    core.restore(nights()[0])
    return core, MIDNIGHT + NIGHTS * DAY_MS + 2 * HOUR_MS


def test_a_backup_every_night_is_news_for_some_nights_only() -> None:
    _, told = nights()
    assert all(v.news > 1 for v in told[1:3])
    assert max(v.news for v in told[-3:]) < min(v.news for v in told[1:3]) / 3


def test_at_noon_or_in_the_other_direction_it_is_news_all_the_same() -> None:
    core, now = used_to_it()
    fallen = core.observe(now, quiet(now) | {"m2": quiet(now)["m2"] - 25, "m3": quiet(now)["m3"] - 40})
    assert fallen.news > 1
    core, now = used_to_it()
    noon = now + 10 * HOUR_MS
    assert core.observe(noon, backup(noon)).news > 1


def test_much_more_than_the_habit_is_news_and_says_what_was_expected() -> None:
    core, now = used_to_it()
    worse = core.observe(now, backup(now) | {"m3": quiet(now)["m3"] + 120})
    assert worse.news > 1
    contribution = worse.contributions[0]
    assert contribution.metric == "m3" and contribution.share > 0.8
    assert quiet(now)["m3"] + 35 < contribution.high < contribution.value


def test_what_went_wrong_once_is_told_the_next_day_too() -> None:
    core = HostCore()
    for ts in times(72, start_ms=MIDNIGHT):
        core.observe(ts, quiet(ts))
    for day in (3, 4):
        noon = MIDNIGHT + day * DAY_MS + 12 * HOUR_MS
        first = core.observe(noon, backup(noon))
        assert first.news > 1
        for ts in times(23, start_ms=noon + 20 * MINUTE_MS):
            core.observe(ts, quiet(ts))
