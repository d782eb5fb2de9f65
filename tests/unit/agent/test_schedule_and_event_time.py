"""When to sample, and the instants that events are given."""

from __future__ import annotations

import logging
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.event_time import CREEP_MOST_MS, EventTime
from services.agent.schedule import Grid, due, slots

T = 1_800_000_000_000


def test_slots_come_at_the_interval_without_drift() -> None:
    grid = Grid(100.0, 0.1)
    slot, now, begun = -1, 99.5, []
    for _ in range(1000):
        slot, begins = grid.after(now, slot)
        begun.append(begins)
        now = begins + 0.03  # work takes its time
    assert begun[0] == 100.0
    assert begun[-1] == pytest.approx(199.9)
    assert slot == 999


def test_after_a_suspend_the_missed_slots_are_left_out_not_made_up_for() -> None:
    grid = Grid(100.0, 1.0)
    assert grid.after(100.0, 0) == (1, 101.0)
    assert grid.after(3700.4, 1) == (3601, 3701.0)


def test_waking_a_little_early_is_no_second_tick_in_the_same_slot() -> None:
    assert Grid(100.0, 1.0).after(100.999, 1) == (2, 102.0)


def test_a_slow_section_comes_in_every_so_many_slots_and_first_at_once() -> None:
    assert [slot for slot in range(12) if due(slot, slot - 1, 5)] == [0, 5, 10]
    assert due(0, -1, 60)


def test_a_slow_section_whose_slot_was_missed_comes_in_the_next() -> None:
    assert due(7, 4, 5)
    assert not due(8, 7, 5)


def test_intervals_in_slots() -> None:
    assert slots(5.0, 1.0) == 5
    assert slots(5.0, 10.0) == 1
    assert slots(15.0, 0.1) == 150


def test_instants_are_the_clocks() -> None:
    time = EventTime()
    assert [time.stamp(T), time.stamp(T + 1000), time.stamp(T + 2003)] == [T, T + 1000, T + 2003]


def test_a_clock_that_stands_still_or_goes_back_a_little_gives_new_instants() -> None:
    time = EventTime()
    assert [time.stamp(T), time.stamp(T), time.stamp(T - 5000), time.stamp(T + 2)] == [T, T + 1, T + 2, T + 3]
    assert time.stamp(T + 1000) == T + 1000


def test_a_clock_that_was_far_ahead_and_is_set_right_is_followed(caplog: pytest.LogCaptureFixture) -> None:
    time = EventTime()
    wrong = T + 8 * 3_600_000
    assert time.stamp(wrong) == wrong
    with caplog.at_level(logging.WARNING):
        assert time.stamp(T) == T
        assert time.stamp(T + 1000) == T + 1000
    assert caplog.text.count("the clock was set back") == 1


@given(st.lists(st.integers(T, T + CREEP_MOST_MS // 2), max_size=50))
def test_instants_strictly_increase_however_the_clock_wanders_within_minutes(clock: list[int]) -> None:
    time = EventTime()
    instants = [time.stamp(now) for now in clock]
    assert all(a < b for a, b in pairwise(instants))


@given(st.lists(st.integers(-1000, 2**53), max_size=50))
def test_a_clock_that_jumps_anywhere_never_gives_an_instant_twice_in_a_row_nor_a_negative_one(clock: list[int]) -> None:
    time = EventTime()
    instants = [time.stamp(now) for now in clock]
    assert all(instant >= 0 for instant in instants)
    assert all(a != b for a, b in pairwise(instants))
