"""A machine without a free core is in trouble, whether or not there was time to learn what it usually does."""

from __future__ import annotations

from services.detector.bank import Verdict
from services.detector.limits import NORMAL_AFTER_MS, Limits

LEARNING = Verdict(score=0.1, warming_up=True)


def busy(limits: Limits, percents: list[float], step_ms: int = 1000, start_ms: int = 0) -> list[Verdict]:
    return [
        limits.applied("h", start_ms + n * step_ms, {"cpu.percent": percent}, LEARNING)
        for n, percent in enumerate(percents)
    ]


def test_a_moment_at_the_limit_says_nothing() -> None:
    assert all(v == LEARNING for v in busy(Limits(), [100.0] * 15))


def test_a_sustained_one_speaks_even_during_warm_up() -> None:
    verdict = busy(Limits(), [100.0] * 20)[-1]
    assert verdict.score > 1
    assert not verdict.warming_up
    assert verdict.contributions[0].metric == "cpu.percent"
    assert verdict.contributions[0].expected_high == 95


def test_one_free_moment_begins_anew() -> None:
    verdicts = busy(Limits(), [100.0] * 10 + [50.0] + [100.0] * 10)
    assert all(v == LEARNING for v in verdicts)


def test_it_speaks_at_any_cadence() -> None:
    assert busy(Limits(), [99.0, 99.0, 99.0], step_ms=10_000)[-1].score > 1


def test_readings_far_apart_do_not_say_that_it_lasted() -> None:
    assert busy(Limits(), [99.0, 99.0], step_ms=300_000)[-1] == LEARNING


def test_what_never_ends_is_how_the_host_is_used() -> None:
    verdicts = busy(Limits(), [100.0] * (NORMAL_AFTER_MS // 10_000 + 1), step_ms=10_000)
    assert verdicts[-2].score > 1
    assert verdicts[-1] == LEARNING


def test_a_higher_score_and_a_better_explanation_stand() -> None:
    limits = Limits()
    busy(limits, [100.0] * 16)
    learned = Verdict(score=7.0, metrics={"cpu.percent": 7.0})
    assert limits.applied("h", 16_000, {"cpu.percent": 100.0}, learned).score == 7.0


def test_hosts_do_not_know_of_each_other_and_a_missing_metric_is_fine() -> None:
    limits = Limits()
    busy(limits, [100.0] * 20)
    assert limits.applied("other", 20_000, {"cpu.percent": 100.0}, LEARNING) == LEARNING
    assert limits.applied("h", 20_000, {}, LEARNING) == LEARNING
