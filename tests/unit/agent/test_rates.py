"""Counters into rates."""

from __future__ import annotations

import math

from hypothesis import example, given
from hypothesis import strategies as st

from services.agent.rates import Counters, percent


def test_the_first_reading_has_no_rate_and_the_second_has() -> None:
    counters = Counters()
    assert counters.rates("eth0", (100, 5), 10.0) == [0.0, 0.0]
    assert counters.rates("eth0", (300, 6), 12.0) == [100.0, 0.5]


def test_a_counter_that_goes_back_was_reset_and_counts_from_there() -> None:
    counters = Counters()
    counters.rates("eth0", (1_000_000, 5), 1.0)
    assert counters.rates("eth0", (10, 6), 2.0) == [0.0, 0.0]
    assert counters.rates("eth0", (20, 6), 3.0) == [10.0, 0.0]


def test_no_time_has_passed() -> None:
    counters = Counters()
    counters.rates("x", (1,), 1.0)
    assert counters.rates("x", (2,), 1.0) == [0.0]


def test_what_returns_under_its_old_name_starts_anew() -> None:
    counters = Counters()
    counters.rates("eth0", (10,), 1.0)
    counters.keep_only([])
    assert counters.rates("eth0", (500,), 2.0) == [0.0]


@example([(0, 0.0), (1, 5e-324)])
@given(st.lists(st.tuples(st.integers(0, 2**63), st.floats(0, 1e6)), min_size=1, max_size=8))
def test_rates_are_never_negative_nor_endless(readings: list[tuple[int, float]]) -> None:
    counters = Counters()
    for count, now in readings:
        (rate,) = counters.rates("x", (count,), now)
        assert math.isfinite(rate)
        assert rate >= 0


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_a_percent_is_between_0_and_100(part: float, whole: float) -> None:
    assert 0 <= percent(part, whole) <= 100
