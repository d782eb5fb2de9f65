"""Whatever a host sends: the core degrades and never dies."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.detector.core import CoreConfig, HostCore
from tests.unit.detector.core.hosts import DAY_MS, HOUR_MS, START_MS, quiet, times


@given(st.lists(st.dictionaries(st.sampled_from("abcde"), st.floats(), max_size=5), max_size=40))
@settings(max_examples=30, deadline=None)
def test_any_numbers_give_a_finite_score(events: list[dict[str, float]]) -> None:
    core = HostCore()
    for n, features in enumerate(events):
        verdict = core.observe(START_MS + n * 1000, features)
        assert math.isfinite(verdict.score) and verdict.score >= 0
    HostCore().restore(core.state())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300])
def test_a_number_that_is_none_counts_as_missing(bad: float) -> None:
    core, other = HostCore(), HostCore()
    for ts in times(6):
        core.observe(ts, quiet(ts, 3))
        other.observe(ts, quiet(ts, 3))
    now = START_MS + 6 * HOUR_MS
    rest = {"m0": 51.0, "m2": 70.0}
    assert core.observe(now, rest | {"m1": bad}) == other.observe(now, rest)


def test_nothing_at_all() -> None:
    assert HostCore().observe(START_MS, {}).score == 0
    assert HostCore().observe(START_MS, {"a": math.nan}).score == 0


def test_constants_are_normal_and_their_end_is_not() -> None:
    core = HostCore()
    scores = [core.observe(ts, {"a": 5.0, "b": 0.0}).score for ts in times(24)]
    assert max(scores) < 0.01
    assert core.observe(START_MS + 24 * HOUR_MS, {"a": 9.0, "b": 1.0}).score > 1


def test_one_metric() -> None:
    core = HostCore()
    for ts in times(48):
        core.observe(ts, quiet(ts, 1))
    verdict = core.observe(START_MS + 48 * HOUR_MS, {"m0": 500.0})
    assert verdict.score > 1 and [c.metric for c in verdict.contributions] == ["m0"]


def test_two_thousand_metrics_and_then_as_many_others_stay_bounded() -> None:
    core = HostCore(CoreConfig(max_metrics=2000))
    for n in range(30):
        core.observe(START_MS + n * 60_000, {f"a{i}": float(i + n % 3) for i in range(2000)})
    size = len(core.state())
    for n in range(30, 60):
        verdict = core.observe(START_MS + n * 60_000, {f"b{i}": float(i) for i in range(2000)})
    assert math.isfinite(verdict.score)
    assert len(core.state()) <= size + 10_000 < 8_000_000


def test_metrics_come_and_go_without_an_alarm() -> None:
    core = HostCore()
    for ts in times(72):
        core.observe(ts, quiet(ts))
    now = START_MS + 72 * HOUR_MS
    scores = [core.observe(ts, quiet(ts, 4) | {"new": 7.0}).score for ts in times(3, start_ms=now)]
    assert sum(s > 1 for s in scores) <= 3


def test_a_gap_of_a_day_raises_no_alarm() -> None:
    core = HostCore()
    for ts in times(72):
        core.observe(ts, quiet(ts))
    now = START_MS + 72 * HOUR_MS + DAY_MS + 7 * HOUR_MS
    assert core.observe(now, quiet(now)).score < 1.5


def test_a_clock_that_jumps_back_is_scored_and_learned_again_when_it_has_caught_up() -> None:
    core = HostCore()
    for ts in times(24):
        core.observe(ts, quiet(ts))
    before = core.state()
    core.observe(START_MS, quiet(START_MS))
    assert core.state() == before
    core.observe(START_MS + 24 * HOUR_MS, quiet(START_MS))
    assert core.state() != before


def test_a_counter_reset_and_a_host_that_is_another_settle_in_three_days() -> None:
    core = HostCore()
    for ts in times(72):
        core.observe(ts, quiet(ts))
    now = START_MS + 72 * HOUR_MS
    assert core.observe(now, dict.fromkeys(quiet(now), 0.0)).score > 1
    for ts in times(72, start_ms=now + 1):
        last = core.observe(ts, {name: 3 * value for name, value in quiet(ts).items()})
    assert last.score < 1.5
