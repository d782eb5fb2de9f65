"""From a host's history to a frozen model: the table, the quiet part of it, the fit and its scale."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest

from services.history.episodes import Episode
from services.history.stored import Reading
from services.train import frozen, moves, stretch
from services.train.labelled import TrainError
from services.train.quiet import WINDOW_MS, quiet
from services.train.stretch import Stretch, collected, complete
from shared.models.frozen import frozen as built
from tests.support.models import card

HOUR = 3_600_000
NAMES = ("cpu.percent", "disk_io.read_bytes_per_s{sda}", "memory.percent", "processes.count")


async def pieces(*given: Sequence[Reading]) -> AsyncIterator[Sequence[Reading]]:
    for piece in given:
        yield piece


def nightly(hours: float, every_ms: int = 60_000, seed: int = 0) -> Stretch:
    """A calm host."""
    rng = np.random.default_rng(seed)
    ts = np.arange(0, round(hours * HOUR), every_ms)
    load = rng.normal(20, 3, len(ts))
    rows = np.stack((load, np.exp(rng.normal(8, 1, len(ts))), rng.normal(40, 0.3, len(ts)), load * 3 + 100), axis=1)
    return Stretch(NAMES, ts, rows)


async def test_one_row_an_instant_with_the_last_value_of_what_is_measured_less_often() -> None:
    first = [Reading(0, {"a": 1.0}), Reading(1000, {"a": 2.0, "b": 7.0})]
    then = [Reading(2000, {"a": 3.0}), Reading(1_000_000, {"a": 4.0})]
    found = await collected(pieces(first, then), 0, 1_000_001)
    assert found.features == ("a", "b") and found.ts_ms.tolist() == [0, 1000, 2000, 1_000_000]
    assert np.nan_to_num(found.rows, nan=-1).tolist() == [[1, -1], [2, 7], [3, 7], [4, -1]]


async def test_of_many_readings_evenly_spaced_ones_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretch, "MOST_ROWS", 4)
    found = await collected(pieces([Reading(n * 1000, {"a": float(n)}) for n in range(20)]), 0, 20_000)
    assert found.ts_ms.tolist() == [0, 5000, 10_000, 15_000]


async def test_no_readings_are_an_empty_table_and_nothing_quiet() -> None:
    found = await collected(pieces([], []), 0, 1000)
    assert found.rows.shape == (0, 0) and quiet(found, []) is None
    with pytest.raises(TrainError, match="only 0 quiet readings; at least 300"):
        complete(found)


def test_metrics_that_are_mostly_missing_are_left_out_and_rows_that_lack_one() -> None:
    whole = nightly(10)
    rows = whole.rows.copy()
    rows[: len(rows) // 2, 1] = np.nan
    rows[:3, 2] = np.nan
    found = complete(Stretch(NAMES, whole.ts_ms, rows))
    assert found.features == ("cpu.percent", "memory.percent", "processes.count")
    assert len(found.rows) == len(rows) - 3 and np.isfinite(found.rows).all()
    rows[:] = np.nan
    with pytest.raises(TrainError, match="only"):
        complete(Stretch(NAMES, whole.ts_ms, rows))


def test_a_calm_host_is_quiet_all_the_time() -> None:
    found = quiet(nightly(12), [])
    assert found and (found.start_ms, found.end_ms, found.left_out) == (0, 12 * HOUR, 0) and found.rows.all()


def test_the_quiet_stretch_is_the_longest_without_storms() -> None:
    history = nightly(24)
    stormy = (history.ts_ms >= 5 * HOUR) & (history.ts_ms < 9 * HOUR)
    history.rows[stormy] *= 4
    found = quiet(history, [])
    assert found and (found.start_ms, found.end_ms) == (9 * HOUR, 24 * HOUR)
    assert not found.rows[stormy].any()


def test_a_short_storm_is_left_out_of_a_long_quiet_stretch() -> None:
    told = [Episode("a", "h1", "unusual", 6 * HOUR + 1, 6 * HOUR + 60_000)]
    found = quiet(nightly(24), told)
    assert found and (found.start_ms, found.end_ms, found.left_out) == (0, 24 * HOUR, 1)
    assert (~found.rows).sum() == WINDOW_MS // 60_000


def test_an_anomaly_that_never_ended_leaves_nothing_after_it() -> None:
    found = quiet(nightly(24), [Episode("a", "h1", "unusual", 20 * HOUR, None)])
    assert found and (found.start_ms, found.end_ms) == (0, 20 * HOUR)
    assert quiet(nightly(2), [Episode("a", "h1", "unusual", 0, None)]) is None


def test_of_equal_stretches_the_later_one_is_taken() -> None:
    told = [Episode("a", "h1", "x", 10 * HOUR, 14 * HOUR - 1)]
    found = quiet(nightly(24), told)
    assert found and (found.start_ms, found.end_ms) == (14 * HOUR, 24 * HOUR)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"prototypes": 60.0, "svm rows": 200.0, "trees": 7.0, "rows a tree": 32.0}
    monkeypatch.setattr(frozen, "PARAMETERS", frozen.PARAMETERS | few)
    monkeypatch.setattr(frozen, "ASKED", 400)


@pytest.mark.usefixtures("small")
def test_quiet_is_below_one_and_what_is_far_off_is_above() -> None:
    history = nightly(20)
    made = frozen.made(history, card("frozen", features=NAMES))
    model = built(card("frozen", features=NAMES), made.arrays)
    later = np.array([model.score(row) for row in nightly(10, seed=1).rows])
    assert later.min() >= 0 and (later > 1).mean() < 0.03
    usual = history.rows.mean(axis=0)
    for at in range(len(NAMES)):
        off = usual.copy()
        off[at] = off[at] * 100 if moves.is_rate(NAMES[at]) else off[at] + 50
        assert model.score(off) > 1, NAMES[at]
    assert made.scores["quiet readings above 1"] < 0.05
    assert made.scores["found: one metric 8 deviations off"] > 0.9
    assert made.rows < len(history.rows)


@pytest.mark.usefixtures("small")
def test_metrics_that_belong_together_are_missed_when_they_part() -> None:
    model = built(card("frozen", features=NAMES), frozen.made(nightly(20), card("frozen", features=NAMES)).arrays)
    together = model.score(np.array([29.0, 3000.0, 40.0, 187.0]))
    parted = model.score(np.array([29.0, 3000.0, 40.0, 133.0]))
    assert parted > 1.3 * together


@pytest.mark.usefixtures("small")
def test_a_host_that_never_moves_has_nothing_to_compare() -> None:
    still = Stretch(NAMES, np.arange(400) * 1000, np.ones((400, 4)))
    with pytest.raises(TrainError, match="every reading is the same"):
        frozen.made(still, card("frozen", features=NAMES))


def test_a_metric_that_never_moved_may_take_a_small_step() -> None:
    assert moves.least_scale("swap.percent", 0) == 1
    assert moves.least_scale("network.errors_per_s{eth0}", 0) == 0.5
    assert moves.least_scale("processes.count", 200) == 10
    assert moves.least_scale("processes.zombie", 0) == 0.2
