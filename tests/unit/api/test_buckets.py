"""Token buckets: the pace in the long run, the burst, the debt."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.api import buckets
from services.api.buckets import BURST, Buckets
from shared.runtime.clock import ManualClock


def test_a_minutes_worth_at_once_then_the_pace() -> None:
    clock, limit = ManualClock(), Buckets(10)
    assert limit.take("a", clock.monotonic(), 600) == 0
    assert limit.take("a", clock.monotonic(), 1) == 1
    assert limit.take("a", clock.monotonic(), 50) == 5
    clock.advance(4)
    assert limit.take("a", clock.monotonic(), 50) == 1
    clock.advance(1)
    assert limit.take("a", clock.monotonic(), 50) == 0


def test_each_key_has_its_own() -> None:
    limit = Buckets(1)
    assert limit.take("a", 0.0, 60) == 0
    assert limit.take("a", 0.0, 1) == 1
    assert limit.take("b", 0.0, 60) == 0


def test_a_batch_larger_than_a_bucket_passes_when_it_is_full_and_leaves_a_debt() -> None:
    limit = Buckets(1)
    assert limit.take("a", 0.0, 600) == 0
    assert limit.wait("a", 0.0) == 541, "540 of debt, and one"
    assert limit.take("a", 540.0, 600) == 60


def test_what_was_given_back_can_be_taken_again_but_never_more_than_a_bucket() -> None:
    limit = Buckets(1)
    assert limit.take("a", 0.0, 60) == 0
    limit.charge("a", 0.0, -60)
    limit.charge("a", 0.0, -60)
    assert limit.take("a", 0.0, 60) == 0
    assert limit.take("a", 0.0, 1) == 1


def test_who_waits_as_long_as_told_is_let_pass() -> None:
    limit = Buckets(3)
    limit.charge("a", 0.0, 1000)
    seconds = limit.wait("a", 0.0, 100)
    assert limit.take("a", float(seconds), 100) == 0


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 200)), max_size=60))
def test_in_the_long_run_never_more_than_the_pace_and_a_bucket(steps: list[tuple[float, int]]) -> None:
    limit, now, taken = Buckets(2), 0.0, 0
    for pause, count in steps:
        now += pause
        if limit.take("a", now, count) == 0:
            taken += count
    assert taken <= 2 * (now + BURST) + 200 + 1e-6


def test_it_remembers_a_bounded_number_of_keys() -> None:
    limit = Buckets(1)
    for number in range(buckets.MOST_KEYS + 10):
        limit.take(str(number), 0.0, 60)
    assert len(limit._buckets) == buckets.MOST_KEYS
