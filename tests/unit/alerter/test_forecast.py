"""When a metric will be somewhere: trends are told, steps, rotation and noise are not."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.alerter.evaluation.forecast import Series
from tests.unit.alerter.support import Watch, disk

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
T0 = 1_800_000_000_000
Shape = Callable[[float], float]
"""Hours -> value."""


def series(shape: Shape, hours: float, *, every_s: float = 15.0, rising: bool = True) -> Series:
    found = Series(HOUR_MS, rising=rising)
    for n in range(round(hours * 3600 / every_s)):
        found.observe(T0 + round(n * every_s * 1000), shape(n * every_s / 3600))
    return found


def soonest(shape: Shape, hours: float, target: float = 100.0, every_s: float = 15.0) -> float:
    """The least time left, in hours, that was ever said."""
    found, least = Series(HOUR_MS, rising=True), math.inf
    for n in range(round(hours * 3600 / every_s)):
        found.observe(T0 + round(n * every_s * 1000), shape(n * every_s / 3600))
        left = found.left_ms(target)
        least = least if left is None else min(least, left / HOUR_MS)
    return least


def test_a_steady_rise_says_when() -> None:
    left = series(lambda h: 70 + 5 * h, 2).left_ms(100)
    assert left == pytest.approx(4 * HOUR_MS, rel=0.03)


@pytest.mark.parametrize("every_s", [1, 15, 60, 280])
def test_the_rate_of_sampling_does_not_matter(every_s: float) -> None:
    assert series(lambda h: 70 + 5 * h, 2, every_s=every_s).left_ms(100) == pytest.approx(4 * HOUR_MS, rel=0.05)


def test_what_falls_is_told_the_other_way_round() -> None:
    found = series(lambda h: 8e9 - 2e9 * h, 2, rising=False)
    assert found.left_ms(0) == pytest.approx(2 * HOUR_MS, rel=0.03)
    assert series(lambda h: 8e9 + 2e9 * h, 2, rising=False).left_ms(0) == math.inf


def test_nothing_is_said_before_enough_was_seen() -> None:
    assert Series(HOUR_MS, rising=True).left_ms(100) is None
    assert series(lambda h: 10 + 50 * h, 0.6).left_ms(100) is None
    assert series(lambda h: 10 + 50 * h, 1.2).left_ms(100) is not None


def test_noise_on_a_rise_does_not_hide_it() -> None:
    noise = random.Random(1)
    left = series(lambda h: 70 + 5 * h + noise.gauss(0, 0.5), 2).left_ms(100)
    assert left == pytest.approx(4 * HOUR_MS, rel=0.3)


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_is_no_trend(seed: int) -> None:
    noise = random.Random(seed)
    assert soonest(lambda h: 80 + noise.gauss(0, 4), 24, every_s=60) > 6


def test_a_step_is_no_trend() -> None:
    for height in (5, 20, 45):
        assert soonest(lambda h, up=height: 50 + (up if h > 1.5 else 0), 5) > 6, height


def test_two_steps_are_no_trend() -> None:
    assert soonest(lambda h: 50 + 15 * (h > 1.5) + 15 * (h > 2.0), 5) > 6


def test_what_flattens_is_no_trend_for_long() -> None:
    left = series(lambda h: 50 + min(h, 1.5) * 20, 2.2).left_ms(100)
    assert left == math.inf


@pytest.mark.parametrize("period", [0.2, 0.5, 0.9])
def test_rotation_faster_than_what_is_watched_is_no_trend(period: float) -> None:
    assert soonest(lambda h: 60 + 30 * (h % period) / period, 24) > 6


def test_rotation_slower_than_that_is_learned() -> None:
    """Ten points in four hours, then the log is rotated: the first time it looks like a rise, and is one."""

    def nightly(h: float) -> float:
        return 80 + 10 * (h % 4) / 4

    assert soonest(nightly, 4) < 6
    again = series(nightly, 8.2)
    least = math.inf
    for n in range(round(3.5 * 240)):
        h = 8.2 + n / 240
        again.observe(T0 + round(h * HOUR_MS), nightly(h))
        least = min(least, again.left_ms(100) or math.inf)
    assert least == math.inf


def test_beyond_what_was_ordinary_it_is_told_again() -> None:
    def leak(h: float) -> float:
        return 60 + 10 * (h % 4) / 4 if h < 12 else 60 + 5 * (h - 12)

    assert series(leak, 13.5).left_ms(100) == math.inf
    assert series(leak, 15).left_ms(100) == pytest.approx(5 * HOUR_MS, rel=0.05)


def test_cleaning_up_counts_at_once() -> None:
    found = series(lambda h: 70 + 5 * h, 2)
    for n in range(3):
        found.observe(T0 + 2 * HOUR_MS + n * 15_000, 60.0)
    assert found.left_ms(100) == math.inf


def test_what_is_reached_has_no_time_left() -> None:
    assert series(lambda h: min(100, 70 + 20 * h), 2).left_ms(100) == 0


def test_after_a_long_pause_it_begins_anew() -> None:
    found = series(lambda h: 70 + 5 * h, 2)
    for n in range(20):
        found.observe(T0 + 12 * HOUR_MS + n * 15_000, 90.0)
    found.observe(T0 + 12 * HOUR_MS + 10 * MINUTE_MS, 90.0)
    assert found.left_ms(100) is None


@given(
    values=st.lists(st.floats(-1e15, 1e15), min_size=1, max_size=300),
    gaps=st.lists(st.integers(-10, 4_000_000), min_size=1, max_size=30),
    over=st.integers(60_000, 7 * 86_400_000),
    rising=st.booleans(),
    target=st.floats(-1e15, 1e15),
)
def test_any_series_is_survived_in_bounded_memory(
    values: list[float], gaps: list[int], over: int, rising: bool, target: float
) -> None:
    found, ts = Series(over, rising=rising), T0
    for n, value in enumerate(values):
        ts += gaps[n % len(gaps)]
        found.observe(ts, value)
        left = found.left_ms(target)
        assert left is None or left >= 0
    assert len(found._means) <= 12 and len(found._peaks) <= 24


@given(st.floats(-1e6, 1e6), st.integers(1, 100))
def test_what_stands_still_never_arrives(value: float, every_s: int) -> None:
    found = series(lambda _: value, 1.5, every_s=every_s * 3.0)
    assert found.left_ms(value + 1) == math.inf


# -- as a rule -----------------------------------------------------------------------------------------------------

RULE = """
  - name: disk_full_soon
    title: Disk will be full soon
    forecast: {metric: disk.percent, reaches: 100, within: 6h, over: 1h}
    for: 10m
    keep_firing_for: 10m
"""


def filled(watch: Watch, shape: Shape, hours: float, *, begin: float = 0.0) -> None:
    for n in range(round(hours * 120)):
        watch.clock.advance(30)
        watch.sample(disks=[disk("/", round(shape(begin + n / 120), 3)), disk("/boot", 30.0)])
        watch.tick()


def test_a_disk_that_fills_is_told_hours_before() -> None:
    watch = Watch(RULE)
    filled(watch, lambda h: 70 + 5 * h, 2)
    pending, firing = watch.alerts
    assert (pending.state, firing.state) == ("pending", "firing")
    assert firing.labels["mountpoint"] == "/" and firing.labels["condition"] == "forecast"
    assert (firing.threshold, firing.labels["metric"]) == (100, "disk.percent")
    assert firing.value is not None and 73 < firing.value < 76
    assert re.fullmatch(
        r"Disk will be full soon on web1 /: 7\d\.\d %, 100\.0 % in about [45] h( \d+ min)?", firing.summary
    )
    filled(watch, lambda h: 40, 0.5, begin=2)
    assert watch.alerts[-1].state == "resolved"
    assert watch.evaluator.open == 0


def test_a_forecast_that_comes_nearer_twice_as_fast_got_worse() -> None:
    watch = Watch(RULE)
    filled(watch, lambda h: 70 + 5 * h, 5.9)
    told = [(a.state, a.previous_state, a.reason) for a in watch.alerts]
    assert told[:2] == [
        ("pending", "inactive", "crossed the threshold"),
        ("firing", "pending", "stayed beyond the threshold long enough"),
    ]
    assert 3 <= len(told[2:]) <= 5
    assert set(told[2:]) == {("firing", "firing", "got worse")}


def test_a_disk_that_is_full_stays_told_until_there_is_room() -> None:
    watch = Watch(RULE)
    filled(watch, lambda h: min(100.0, 80 + 10 * h), 4)
    assert watch.alerts[-1].state == "firing"
    filled(watch, lambda h: 50, 0.5, begin=4)
    assert watch.alerts[-1].state == "resolved"


def test_a_restart_forgets_the_trend_but_not_the_alert() -> None:
    watch = Watch(RULE)
    filled(watch, lambda h: 70 + 5 * h, 2)
    again = Watch(RULE)
    again.clock = watch.clock
    assert again.evaluator.restore([watch.alerts[-1]], watch.clock.now_ms(), watch.clock.monotonic()) == []
    filled(again, lambda h: 70 + 5 * h, 0.5, begin=2)
    assert again.alerts == [] and again.evaluator.open == 1
    filled(again, lambda h: 60, 2, begin=2.5)
    assert again.states() == ["resolved"]
