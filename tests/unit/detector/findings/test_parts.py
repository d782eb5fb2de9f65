"""The pieces the watchers are made of."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.detector.findings.hold import Hold
from services.detector.findings.level import Level, Minute
from services.detector.findings.ring import BUCKETS, Ring
from services.detector.findings.smooth import Smooth
from services.detector.findings.trend import trend
from services.detector.findings.words import between, number, size, span
from tests.unit.detector.findings.days import DAY, HOUR, MINUTE, T0


@given(st.lists(st.tuples(st.integers(0, 40), st.floats(-1e9, 1e9)), min_size=1, max_size=60))
def test_a_ring_is_a_dictionary_of_the_last_buckets(steps: list[tuple[int, float]]) -> None:
    ring = Ring(10)
    model: dict[int, float] = {}
    ts = 0
    for step, value in steps:
        ts += step
        ended = ring.put(ts, value)
        assert (ended is not None) == (ts // 10 not in model)
        model[ts // 10] = value
    newest = ts // 10
    kept = {b: v for b, v in sorted(model.items()) if b > newest - BUCKETS}
    assert ring.points() == (list(kept), list(kept.values()))
    assert ring.highest_before(0) == -math.inf


@given(st.floats(0.001, 1e6), st.integers(4, 16))
def test_a_straight_line_has_its_slope_and_no_doubt(slope: float, count: int) -> None:
    found = trend(range(count), [slope * n for n in range(count)])
    assert found
    assert found.slope == pytest.approx(slope)
    assert found.low == pytest.approx(slope)
    assert found.high == pytest.approx(slope)
    assert found.rising == 1
    assert found.tail == pytest.approx(1)


def test_a_step_is_known_by_its_share_and_what_flattens_by_its_tail() -> None:
    step = trend(range(10), [0.0] * 5 + [10.0] * 5)
    assert step
    assert step.step == 1
    flat = trend(range(10), [0, 4, 7, 9, 10, 10.5, 10.7, 10.8, 10.85, 10.86])
    assert flat
    assert flat.tail < 0.1


@given(st.lists(st.floats(-1e6, 1e6), max_size=16))
def test_the_interval_is_around_the_slope(values: list[float]) -> None:
    found = trend(range(len(values)), values)
    if found is not None:
        assert found.low <= found.slope <= found.high


def test_hold_opens_after_and_closes_after_with_two_thresholds() -> None:
    hold = Hold()

    def step(second: int, value: int) -> bool:
        return hold.step(second * 1000, enter=value >= 90, stay=value >= 80, after_ms=5000, until_ms=3000)

    assert [step(n, 95) for n in range(7)] == [False] * 5 + [True] * 2
    assert all(step(n, 85) for n in range(7, 30))
    assert [step(n, 10) for n in range(30, 34)] == [True, True, True, False]
    assert hold.since_ms == -1


def test_what_had_begun_before_a_gap_begins_anew() -> None:
    hold = Hold()
    for n in range(3):
        hold.step(n * 1000, enter=True, stay=True, after_ms=60_000, until_ms=0)
    assert not hold.step(120_000, enter=True, stay=True, after_ms=60_000, until_ms=0)
    assert hold.since_ms == 120_000


def test_one_reading_in_five_minutes_is_no_gap() -> None:
    hold = Hold()
    hold.step(0, enter=True, stay=True, after_ms=60_000, until_ms=0)
    assert hold.step(300_000, enter=True, stay=True, after_ms=60_000, until_ms=0)


@given(st.floats(0, 100), st.lists(st.integers(1, 100_000), min_size=1, max_size=20))
def test_an_average_forgets_in_time_whatever_the_cadence(value: float, steps: list[int]) -> None:
    smooth = Smooth()
    smooth.step(0, value, 10_000)
    ts = 0
    for step in steps:
        ts += step
        smooth.step(ts, 0.0, 10_000)
    assert smooth.value == pytest.approx(value * math.exp(-ts / 10_000), abs=1e-9)


def test_a_level_is_not_known_before_a_day_and_knows_the_hour() -> None:
    level = Level()
    for n in range(26 * 60):
        ts = T0 + n * MINUTE
        if n == 23 * 60:
            assert level.usual(ts) is None
        level.learn(ts, 1000.0 if ts % DAY // HOUR == 2 else 10.0)
    night, noon = level.usual(T0 + DAY + 2 * HOUR), level.usual(T0 + DAY + 12 * HOUR)
    assert night
    assert noon
    assert [*night, *noon] == pytest.approx([10, 1000, 10, 10])


def test_minutes_just_before_something_unusual_are_not_usual() -> None:
    level = Level()
    for n in range(26 * 60):
        level.learn(T0 + n * MINUTE, 10.0)
    level.learn(T0 + 26 * HOUR, 500.0)
    level.doubt()
    for n in range(1, 20):
        level.learn(T0 + 26 * HOUR + n * MINUTE, 10.0)
    assert level.usual(T0 + 26 * HOUR) == pytest.approx((10, 10))

    level.learn_half(T0 + 26 * HOUR, 999.0)
    assert level.usual(T0 + 26 * HOUR) == pytest.approx((10, 103.9), rel=0.001)


def test_a_minute_before_a_long_gap_is_not_the_one_after_it() -> None:
    minute = Minute()
    minute.step(T0, 5.0)
    assert minute.step(T0 + DAY, 7.0) is None
    assert minute.step(T0 + DAY + MINUTE, 9.0) == 7.0


def test_words() -> None:
    assert [number(v) for v in (0.12345, 71.26, 1234.5)] == ["0.123", "71.3", "1234"]
    assert [size(v) for v in (5, 1500, 2.5e9, 3e15)] == ["5 B", "1.5 kB", "2.5 GB", "3e+03 TB"]
    assert [span(v) for v in (40e3, 12 * MINUTE, 24 * HOUR, 6 * DAY)] == ["40 s", "12 min", "24 h", "6 days"]
    assert between(18 * HOUR, 40 * HOUR) == "18 to 40 h"
    assert between(MINUTE, 40 * HOUR) == "60 s to 40 h"
    assert between(HOUR, HOUR) == "60 min"
