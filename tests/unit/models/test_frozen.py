"""Frozen models as arrays, and the channel that keeps one for each host."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import OneClassSVM

from services.train import isolation
from shared.models import arrays as npz
from shared.models import channels, registry
from shared.models.arrays import ModelError
from shared.models.channels import FRESH_MS, Channels, FrozenChannel
from shared.models.frozen import NEIGHBOUR, Frozen, frozen
from shared.runtime.clock import ManualClock
from tests.support.models import card, frozen_arrays
from tests.support.samples import T0

NAMES = ("cpu.percent", "memory.percent")


def model(**changed: Any) -> Frozen:
    return frozen(card("frozen", "h1", NAMES), npz.unpacked(npz.packed(frozen_arrays() | changed)))


@pytest.mark.parametrize("seed", range(3))
def test_the_members_say_what_scikit_learn_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, asked = rng.normal(0, 1, (200, 5)), rng.normal(0, 2, (100, 5))
    near = NearestNeighbors(n_neighbors=NEIGHBOUR).fit(rows)
    one_class = OneClassSVM(nu=0.1).fit(rows)
    forest = IsolationForest(n_estimators=7, max_samples=33, random_state=seed).fit(rows)
    arrays = frozen_arrays(5) | {
        "prototypes": rows,
        "vectors": one_class.support_vectors_,
        "coefficients": one_class.dual_coef_.ravel(),
        "intercept": one_class.intercept_,
        "gamma": np.array([one_class._gamma]),
    }
    arrays |= isolation.exported(forest)
    ours = frozen(card("frozen", "h1", tuple("abcde")), npz.unpacked(npz.packed(arrays)))
    found = np.array([ours.members(row) for row in asked])
    assert found[:, 0] == pytest.approx(near.kneighbors(asked)[0][:, -1])
    assert found[:, 1] == pytest.approx(-one_class.decision_function(asked))
    assert found[:, 2] == pytest.approx(-forest.score_samples(asked))


def test_an_isolation_forest_that_asks_nothing() -> None:
    forest = IsolationForest(n_estimators=2, max_samples=2).fit(np.zeros((3, 2)))
    ours = frozen(card("frozen", "h1", NAMES), frozen_arrays() | isolation.exported(forest))
    assert ours.members(np.zeros(2))[2] == pytest.approx(-forest.score_samples(np.zeros((1, 2)))[0])


def test_a_rate_is_looked_at_by_its_logarithm() -> None:
    scaled = model(logged=np.array([1, 0])).scaler(np.array([math.e - 1, math.e - 1]))
    assert scaled.tolist() == pytest.approx([1.0, math.e - 1])
    assert model(logged=np.array([1, 1])).scaler(np.array([-5.0, 1e300])).tolist() == [0.0, 30.0]


BROKEN: dict[str, dict[str, Any]] = {
    "another number of metrics": {"mean": np.zeros(3)},
    "two neighbours": {"prototypes": np.zeros((2, 2))},
    "points beyond all readings": {"prototypes": np.full((3, 2), 31.0)},
    "a scale of nothing": {"scale": np.zeros(2)},
    "a span of nothing": {"span": np.zeros(3)},
    "a top of nothing": {"top": np.zeros(1)},
    "a half logarithm": {"logged": np.array([2, 0])},
    "a negative gamma": {"gamma": np.array([-1.0])},
    "no trees": {"trees": np.array([0])},
    "trees without end": {"trees": np.array([2**62])},
    "levels without end": {"depth": np.array([64])},
    "negative levels": {"depth": np.array([-1])},
    "nodes missing": {"depth": np.array([2])},
    "a node about another metric": {"node_feature": np.array([2])},
    "a node about a negative one": {"node_feature": np.array([-1])},
    "a negative path": {"length": np.array([-1.0, 1.0])},
    "no usual path": {"usual": np.zeros(1)},
}


@pytest.mark.parametrize("wrong", BROKEN.values(), ids=BROKEN.keys())
def test_arrays_that_are_no_frozen_model_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        model(**wrong)


def test_a_model_of_another_kind_or_of_too_many_metrics_is_refused() -> None:
    with pytest.raises(ModelError, match="not a frozen one"):
        frozen(card("overload"), frozen_arrays())
    with pytest.raises(ModelError, match="257 features"):
        frozen(card("frozen", features=tuple(f"m{n}" for n in range(257))), frozen_arrays(257))


def test_one_is_where_strange_begins() -> None:
    channel = FrozenChannel(model())
    assert channel.score(T0, {"cpu.percent": 0, "memory.percent": 0}) == 0
    assert channel.score(T0, {"cpu.percent": 2, "memory.percent": 0}) == pytest.approx(1)
    assert channel.score(T0, {"cpu.percent": 30, "memory.percent": 0}) == pytest.approx(15)
    assert channel.score(T0, {"cpu.percent": 1e300, "memory.percent": -math.inf}) == pytest.approx(15 * math.sqrt(2))


def test_what_is_measured_less_often_stands_in_for_a_while() -> None:
    channel = FrozenChannel(model())
    assert channel.score(T0, {"cpu.percent": 0}) is None, "its memory is not known yet"
    assert channel.score(T0, {"memory.percent": 2.0, "disk.percent{/}": 99}) == pytest.approx(1)
    assert channel.score(T0 + FRESH_MS - 1000, {"cpu.percent": 0}) == pytest.approx(1)
    assert channel.score(T0 + FRESH_MS + 1000, {"cpu.percent": 0}) is None, "it has vanished"
    assert channel.score(T0 + FRESH_MS + 2000, {"memory.percent": 0.0}) == 0


def test_what_was_said_later_does_not_stand_in_for_earlier() -> None:
    channel = FrozenChannel(model())
    assert channel.score(T0, {"cpu.percent": 0, "memory.percent": 0}) == 0
    assert channel.score(T0 - 86_400_000, {"cpu.percent": 0}) is None, "the host's clock was set back"


def test_a_value_that_is_no_number_is_no_score_and_does_no_harm() -> None:
    channel = FrozenChannel(model())
    assert channel.score(T0, {"cpu.percent": math.nan, "memory.percent": 0}) is None
    assert channel.score(T0, {"cpu.percent": 0}) == 0
    assert channel.score(T0, {}) == 0


def keep(directory: Path, host: str = "h1", top: float = 2 / 3, *, use: bool = True) -> None:
    registry.add(directory, card("frozen", host, NAMES), frozen_arrays() | {"top": np.array([top])}, use=use)


READING = {"cpu.percent": 2.0, "memory.percent": 0.0}


def test_a_host_has_its_own_model_or_none(tmp_path: Path) -> None:
    keep(tmp_path, "h1")
    keep(tmp_path, "h2", 4 / 3)
    keep(tmp_path, "h3", use=False)
    asked = Channels(tmp_path, ManualClock())
    assert [asked.score(host, T0, READING) for host in ("h1", "h2", "h3", "h4", "../h1")] == [
        pytest.approx(1),
        pytest.approx(0.5),
        None,
        None,
        None,
    ]


def test_a_directory_that_is_not_there_is_no_trouble(tmp_path: Path) -> None:
    assert Channels(tmp_path / "none", ManualClock()).score("h1", T0, READING) is None


def test_another_version_is_taken_up_while_running(tmp_path: Path) -> None:
    clock = ManualClock()
    asked = Channels(tmp_path, clock)
    assert asked.score("h1", T0, READING) is None
    keep(tmp_path)
    assert asked.score("h1", T0, READING) is None, "it does not look at every event"
    clock.advance(channels.LOOK_EVERY)
    assert asked.score("h1", T0, READING) == pytest.approx(1)
    keep(tmp_path, top=4 / 3)
    clock.advance(channels.LOOK_EVERY)
    assert asked.score("h1", T0, READING) == pytest.approx(0.5)
    registry.use(tmp_path, "frozen", "h1", 1)
    clock.advance(channels.LOOK_EVERY)
    assert asked.score("h1", T0, READING) == pytest.approx(1)
    registry.use(tmp_path, "frozen", "h1", None)
    clock.advance(channels.LOOK_EVERY)
    assert asked.score("h1", T0, READING) is None


def test_another_hosts_new_model_changes_nothing(tmp_path: Path) -> None:
    clock = ManualClock()
    asked = Channels(tmp_path, clock)
    keep(tmp_path)
    assert asked.score("h1", T0, READING) == pytest.approx(1)
    keep(tmp_path, "h2")
    clock.advance(channels.LOOK_EVERY)
    assert asked.score("h1", T0, {"cpu.percent": 0.0}) == 0, "what it remembers of h1 is still there"


def test_the_longest_silent_host_is_forgotten_first(tmp_path: Path) -> None:
    for host in ("h1", "h2", "h3"):
        keep(tmp_path, host)
    asked = Channels(tmp_path, ManualClock(), most=2)
    for host in ("h1", "h2", "h1", "h3"):
        asked.score(host, T0, READING)
    assert asked.score("h1", T0, {}) == pytest.approx(1), "h1 was heard of after h2"
    assert asked.score("h2", T0, {}) is None


def test_a_poisoned_model_costs_the_channel_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    keep(tmp_path, "h1")
    keep(tmp_path, "h2")
    file = tmp_path / "frozen" / "h1" / "1" / "model.npz"
    good = file.read_bytes()
    file.write_bytes(good[: len(good) // 2])
    asked = Channels(tmp_path, clock)
    assert [asked.score(host, T0, READING) for host in ("h1", "h1", "h2")] == [None, None, pytest.approx(1)]
    assert [r.message for r in caplog.records] == ["a model is not used"]
    file.write_bytes(good)
    clock.advance(channels.AGAIN_AFTER)
    assert asked.score("h1", T0, READING) == pytest.approx(1)
