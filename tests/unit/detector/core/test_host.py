"""A host's core: quiet when the host is, loud and clear when it is not."""

from __future__ import annotations

import numpy as np
import pytest

from services.detector.core import CoreConfig, HostCore, Verdict
from services.detector.core.baseline import Baseline
from tests.unit.detector.core.hosts import HOUR_MS, MINUTE_MS, START_MS, quiet, times


def lived(hours: float = 72) -> tuple[HostCore, int]:
    core = HostCore()
    for ts in times(hours):
        core.observe(ts, quiet(ts))
    return core, START_MS + int(hours * HOUR_MS)


def ill(ts: int) -> dict[str, float]:
    return quiet(ts) | {"m2": 150.0, "m3": 0.0}


def test_an_ordinary_day_stays_below_one_nearly_always() -> None:
    core, now = lived()
    scores = [core.observe(ts, quiet(ts)).score for ts in times(24, start_ms=now)]
    assert sum(s > 1 for s in scores) <= len(scores) // 20


def test_a_fault_is_above_one_at_its_first_event_and_names_its_metrics() -> None:
    core, now = lived()
    first = core.observe(now, ill(now))
    assert first.score > 1 and first.news > 1
    assert {c.metric for c in first.contributions[:2]} == {"m2", "m3"}
    high = next(c for c in first.contributions if c.metric == "m2")
    assert high.value == 150.0 > high.high > high.low
    assert first.metrics["m2"] > 1
    assert abs(sum(c.share for c in first.contributions) - 1) < 1e-6


def test_the_score_lasts_after_a_fault_and_its_news_do_not() -> None:
    core, now = lived()
    for ts in times(1, start_ms=now):
        core.observe(ts, ill(ts))
    after = core.observe(now + HOUR_MS, quiet(now + HOUR_MS))
    assert after.score > 1 > after.news


def test_it_is_judged_before_it_is_learned() -> None:
    core, now = lived()
    other, _ = lived()
    a, b = core.observe(now, ill(now)), other.observe(now, ill(now))
    assert a == b
    assert core.state() == other.state()


def test_a_level_that_stays_is_normal_after_hours_and_says_so() -> None:
    core, now = lived()
    shifted: set[str] = set()
    last = Verdict(0.0)
    for ts in times(30, start_ms=now):
        last = core.observe(ts, quiet(ts) | {"m2": quiet(ts)["m2"] + 60})
        shifted |= set(last.shifted)
    assert shifted == {"m2"}
    assert last.score < 1


def test_it_warms_up_without_news() -> None:
    core = HostCore()
    verdicts = [core.observe(ts, ill(ts) if ts % 7 == 0 else quiet(ts)) for ts in times(5)]
    assert all(v.warming_up and v.news == 0 for v in verdicts)
    assert not lived()[0].observe(START_MS + 80 * HOUR_MS, quiet(0)).warming_up


def test_late_and_repeated_events_teach_nothing() -> None:
    core, now = lived()
    before = core.state()
    late = core.observe(now - HOUR_MS, ill(now))
    core.observe(now - 5 * MINUTE_MS, quiet(now) | {"new": 1.0})
    assert late.score > 1
    assert core.state() == before


@pytest.mark.parametrize("step", [MINUTE_MS // 2, MINUTE_MS, 10 * MINUTE_MS])
def test_memories_are_times_not_counts(step: int) -> None:
    """A small rise within the clip, for six hours: what is expected by then is the same at any cadence."""
    expected = []
    for each in (5 * MINUTE_MS, step):
        base, index, places = Baseline(CoreConfig()), np.arange(1), times(54, each)
        base.widen(1)
        for n, ts in enumerate(places):
            value = np.array([100.0 + (1.0 if n % 2 else -1.0) + (2.0 if ts - START_MS >= 48 * HOUR_MS else 0.0)])
            base.learn(ts / 1000, each / 1000, index, value, *base.expect(ts / 1000, index))
        expected.append(base.expect(places[-1] / 1000, index)[0][0, 0] - 100.0)
    assert 0.4 < expected[0] < 1.6
    assert expected[1] == pytest.approx(expected[0], rel=0.1)
