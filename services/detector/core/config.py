"""What shapes the core. One configuration serves every host; every memory is a time."""

from __future__ import annotations

from dataclasses import dataclass

MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0
WEEK = 7 * DAY


@dataclass(frozen=True, slots=True)
class CoreConfig:
    """All times in seconds, all deviations in units of a metric's usual deviation."""

    offset_half_life_s: float = 0.5 * DAY
    profile_half_life_s: float = 5 * HOUR  # of time spent in one hour of the day: some five days
    spread_half_life_s: float = 2 * DAY
    clip: float = 3.5  # how much of a deviation is learned
    wary_clip: float = 2.0  # and by the second opinion that the energy judges by
    dead_zone: float = 3.0
    cap: float = 7.0
    top3_weight: float = 0.1
    recent_s: tuple[float, float, float] = (10 * MINUTE, 40 * MINUTE, 160 * MINUTE)
    recent_weight: float = 0.7  # of the mean over each of these, beside what is now
    covariance_half_life_s: float = 2 * DAY
    eigen_every_s: float = 6 * HOUR
    covariance_metrics: int = 64  # the first that were seen; twice as many are squared
    lately_s: float = 10 * MINUTE  # the memory of the deviations' own means beside them
    trees_every_s: float = MINUTE
    trees_weight: float = 2.0
    relevel_after_s: float = 6 * HOUR
    relevel_beyond: float = 3.0
    warm_up_s: float = 6 * HOUR
    gap_s: float = 10 * MINUTE  # no single event stands for more time than this
    max_metrics: int = 2048
    normal_quantile: float = 0.99
    page_budget_per_week: float = 10.0
    peak_half_life_s: float = 6 * HOUR
