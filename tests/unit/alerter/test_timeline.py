"""Which events are about now."""

from __future__ import annotations

from services.alerter.evaluation.timeline import FUTURE_MS, LATE_AFTER_MS, Timeline, Timing
from shared.runtime.clock import ManualClock


def judge(timeline: Timeline, clock: ManualClock, age_s: float) -> Timing:
    return timeline.judge(clock.now_ms() - round(age_s * 1000), clock.now_ms(), clock.monotonic())


def test_news_in_order_count_and_repeats_do_not() -> None:
    clock, timeline = ManualClock(), Timeline()
    assert judge(timeline, clock, 1) is Timing.LIVE
    assert judge(timeline, clock, 1) is Timing.REPEAT
    assert judge(timeline, clock, 2) is Timing.REPEAT
    clock.advance(1)
    assert judge(timeline, clock, 1) is Timing.LIVE


def test_a_spool_that_empties_after_an_outage_is_history() -> None:
    clock, timeline = ManualClock(), Timeline()
    for age in range(3600, 400, -10):  # an hour of events within half a minute
        clock.advance(0.1)
        assert judge(timeline, clock, age) is Timing.LATE
    assert judge(timeline, clock, 1) is Timing.LIVE
    assert judge(timeline, clock, 100) is Timing.REPEAT


def test_a_spool_between_live_events_is_out_of_order() -> None:
    clock, timeline = ManualClock(), Timeline()
    for age in range(200, 100, -1):
        clock.advance(1)
        assert judge(timeline, clock, 0) is Timing.LIVE
        assert judge(timeline, clock, age) is Timing.REPEAT


def test_a_clock_that_is_always_behind_is_believed_after_a_minute() -> None:
    clock, timeline = ManualClock(), Timeline()
    seen = []
    for _ in range(120):
        clock.advance(1)
        seen.append(judge(timeline, clock, 3600 + 0.3))
    assert seen[0] is Timing.LATE
    assert seen[-1] is Timing.LIVE
    assert seen.index(Timing.LIVE) in range(55, 65)
    # And when that clock is put right, its events count at once.
    clock.advance(1)
    assert judge(timeline, clock, 0) is Timing.LIVE
    # While its spool, sent now, does not.
    assert judge(timeline, clock, 1800) is Timing.REPEAT


def test_the_far_future_is_nonsense_and_does_no_harm() -> None:
    clock, timeline = ManualClock(), Timeline()
    assert judge(timeline, clock, -FUTURE_MS / 1000 - 1) is Timing.FUTURE
    assert judge(timeline, clock, 0) is Timing.LIVE


def test_our_own_clock_may_jump_back() -> None:
    clock, timeline = ManualClock(), Timeline()
    assert judge(timeline, clock, 0) is Timing.LIVE
    clock.jump(-7200)
    assert judge(timeline, clock, 0) is Timing.LIVE


def test_a_pipeline_minutes_late_still_counts() -> None:
    clock, timeline = ManualClock(), Timeline()
    assert judge(timeline, clock, LATE_AFTER_MS / 1000 - 1) is Timing.LIVE
