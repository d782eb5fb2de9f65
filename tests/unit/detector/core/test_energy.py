"""A combination is unusual among metrics that go together, and so is a jump of metrics that go slowly."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from services.detector.core.config import HOUR, MINUTE, CoreConfig
from services.detector.core.energy import Energy

WAVE_MINUTES = 240
TOP, FOOT = WAVE_MINUTES // 4, 3 * WAVE_MINUTES // 4
LIVED = 12 * WAVE_MINUTES


def wave(minute: int) -> NDArray[np.float64]:
    """Two metrics that rise and fall together over hours, and a third that does as it likes."""
    slow = 2.0 * np.sin(2 * np.pi * minute / WAVE_MINUTES)
    return np.array([slow, slow, np.random.default_rng(minute).normal()])


def lived(minutes: int = LIVED) -> Energy:
    energy = Energy(CoreConfig())
    energy.widen(3)
    for minute in range(minutes):
        energy.learn(MINUTE, wave(minute))
    return energy


def test_an_ordinary_event_is_one_or_less() -> None:
    energy, told = lived(), []
    for minute in range(LIVED, LIVED + 2 * WAVE_MINUTES):
        told.append(energy.of(wave(minute)))
        energy.learn(MINUTE, wave(minute))
    assert 0.2 < float(np.mean(told)) <= 1.1


def test_two_that_part_are_more_unusual_than_two_that_go_together() -> None:
    energy = lived(LIVED + TOP)
    assert energy.of(np.array([2.0, 0.0, 0.0])) > 3 * energy.of(np.array([2.0, 2.0, 0.0]))


def test_a_jump_is_more_unusual_than_the_same_place_reached_slowly() -> None:
    """Both are asked about the top of the wave, where the metrics are six times a day; one of them was at its foot."""
    slowly, suddenly = lived(LIVED + TOP), lived(LIVED + FOOT)
    assert suddenly.of(wave(TOP)) > 5 * slowly.of(wave(TOP))


def test_what_jumped_and_stays_is_soon_no_jump() -> None:
    energy, top = lived(LIVED + FOOT), wave(TOP)
    first = energy.of(top)
    for _ in range(40):
        energy.learn(MINUTE, top)
    assert energy.of(top) < first / 3


def test_asking_teaches_nothing() -> None:
    energy = lived(100)
    before = {name: a.copy() for name, a in energy.arrays.items()}
    energy.of(np.array([3.0, -3.0, 3.0]))
    assert all((energy.arrays[name] == a).all() for name, a in before.items())


def test_more_metrics_leave_those_before_as_they_were() -> None:
    energy = lived()
    before = energy.of(np.array([1.0, -1.0, 0.5]))
    energy.widen(1)
    assert energy.of(np.array([1.0, -1.0, 0.5, 0.0])) * 8 == pytest.approx(before * 6 + energy.arrays["lately"][3] ** 2)


def test_a_metric_in_the_place_of_another_inherits_nothing() -> None:
    energy = lived()
    energy.learn(MINUTE, np.array([0.0, 0.0, 3.5]))
    energy.forget(2)
    with_it, without = energy.of(np.array([1.0, 1.0, 2.0])), energy.of(np.array([1.0, 1.0, 0.0]))
    assert (with_it - without) * 6 == pytest.approx(4.0)
    assert energy.arrays["lately"][2] == 0.0


def test_the_mean_of_late_is_a_time_not_a_count() -> None:
    after = []
    for step_s in (1.0, MINUTE):
        energy = Energy(CoreConfig())
        energy.widen(1)
        for _ in range(int(HOUR / 6 / step_s)):
            energy.learn(step_s, np.array([1.0]))
        after.append(float(energy.arrays["lately"][0]))
    assert after[0] == pytest.approx(1 - np.exp(-1), rel=1e-6)
    assert after[1] == pytest.approx(after[0], rel=1e-6)


def test_beyond_the_limit_metrics_are_not_in_it() -> None:
    most = CoreConfig().covariance_metrics
    energy = Energy(CoreConfig())
    energy.widen(most + 10)
    energy.learn(MINUTE, np.ones(most + 10))
    energy.forget(most + 3)
    assert energy.arrays["covariance"].shape == (2 * most, 2 * most)
    assert energy.of(np.ones(most + 10)) > 0
