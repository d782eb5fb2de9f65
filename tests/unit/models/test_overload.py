"""Classifiers as arrays: scikit-learn's own answers, and nothing from what is broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from shared.models import arrays as npz
from shared.models import forest, overload, registry, svm
from shared.models.arrays import ModelError
from shared.models.overload import METHODS, Method, OverloadModels, shipped
from shared.runtime.clock import ManualClock
from tests.support.models import card, forest_arrays, svm_arrays

ARRAYS = {"svm": svm_arrays, "forest": forest_arrays}


def random(seed: int, features: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(0, 20, (150, features))
    return rows, rows.sum(axis=1) + rng.normal(0, 5, 150) > 10, rng.normal(0, 30, (300, features))


@pytest.mark.parametrize(("seed", "features"), [(0, 1), (1, 3), (2, 8)])
def test_the_svm_decides_as_scikit_learn_does(seed: int, features: int) -> None:
    rows, labels, asked = random(seed, features)
    scaler = StandardScaler().fit(rows)
    fit = SVC().fit(scaler.transform(rows), labels)
    ours = svm.of(npz.unpacked(npz.packed(svm.exported(scaler, fit))), features)
    assert ours.decision(asked) == pytest.approx(fit.decision_function(scaler.transform(asked)), abs=1e-9)
    assert (ours.overloaded(asked) == fit.predict(scaler.transform(asked))).all()


def test_a_long_series_is_judged_piece_by_piece_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    model = svm.of(svm_arrays(), 1)
    rows = np.linspace(0, 100, 50)[:, None]
    whole = model.decision(rows)
    monkeypatch.setattr(svm, "_CELLS", 7)
    assert model.decision(rows) == pytest.approx(whole)


@pytest.mark.parametrize(("seed", "features"), [(0, 1), (1, 3), (2, 8)])
def test_the_forest_decides_as_scikit_learn_does(seed: int, features: int) -> None:
    rows, labels, asked = random(seed, features)
    fit = RandomForestClassifier(10, random_state=seed).fit(rows, labels)
    ours = forest.of(npz.unpacked(npz.packed(forest.exported(fit))), features)
    assert ours.probability(asked) == pytest.approx(fit.predict_proba(asked)[:, 1], abs=1e-12)
    assert (ours.overloaded(asked) == fit.predict(asked)).all()


def test_a_forest_of_stumps_that_ask_nothing() -> None:
    fit = RandomForestClassifier(2, max_depth=1, min_samples_leaf=100).fit(np.zeros((4, 1)), [0, 0, 1, 1])
    assert forest.of(forest.exported(fit), 1).probability(np.zeros((3, 1))) == pytest.approx(
        fit.predict_proba(np.zeros((3, 1)))[:, 1]
    )


@pytest.mark.parametrize("method", METHODS)
def test_beyond_what_it_was_trained_on_it_says_what_it_says_of_the_nearest(method: Method) -> None:
    model = overload.classifier(card(name=method), ARRAYS[method]())
    rows = np.array([[0.0], [20.0], [49.0], [51.0], [51.0], [80.0], [1e15], [-1e15]])
    assert model.overloaded(rows) == [0, 0, 0, 1, 1, 1, 1, 0]
    assert model.overloaded(np.empty((0, 1))) == []


BROKEN: dict[str, tuple[Method, dict[str, Any]]] = {
    "svm without vectors": ("svm", {"vectors": np.empty((0, 1))}),
    "svm of two columns": ("svm", {"vectors": np.zeros((2, 2))}),
    "svm with a coefficient too many": ("svm", {"coefficients": np.zeros(3)}),
    "svm with a scale of nothing": ("svm", {"scale": np.array([0.0])}),
    "svm with a negative gamma": ("svm", {"gamma": np.array([-1.0])}),
    "svm of whole numbers": ("svm", {"mean": np.array([1])}),
    "forest in a circle": ("forest", {"left": np.array([0, 1, 2])}),
    "forest that goes back": ("forest", {"left": np.array([1, 0, 2]), "right": np.array([2, 2, 2])}),
    "forest that leads out": ("forest", {"right": np.array([3, 1, 2])}),
    "forest with a negative child": ("forest", {"right": np.array([-1, 1, 2])}),
    "forest that asks for another column": ("forest", {"feature": np.array([1, 0, 0])}),
    "forest with a negative column": ("forest", {"feature": np.array([-1, 0, 0])}),
    "forest with a share of two": ("forest", {"share": np.array([0.0, 0.0, 2.0])}),
    "forest rooted nowhere": ("forest", {"roots": np.array([0, 3])}),
    "forest rooted twice": ("forest", {"roots": np.array([0, 0])}),
    "forest with a tree into another": ("forest", {"roots": np.array([0, 2])}),
    "no range": ("svm", {"low": np.array(0.0)}),
}


@pytest.mark.parametrize(("method", "wrong"), BROKEN.values(), ids=BROKEN.keys())
def test_arrays_that_are_no_model_are_refused(method: Method, wrong: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        overload.classifier(card(name=method), ARRAYS[method]() | wrong)


def test_a_tree_too_deep_is_refused() -> None:
    count = 2 * forest.DEEPEST + 5
    own = np.arange(count)
    inner = own % 2 == 0
    inner[-1] = False
    arrays = {
        "roots": np.array([0]),
        "left": np.where(inner, own + 1, own),
        "right": np.where(inner, own + 2, own),
        "feature": np.zeros(count, dtype=int),
        "threshold": np.zeros(count),
        "share": np.zeros(count),
    }
    with pytest.raises(ModelError, match="deeper"):
        forest.of(arrays, 1)


def test_a_model_of_another_sort_is_refused() -> None:
    with pytest.raises(ModelError, match="not one of overload"):
        overload.classifier(card(name="svm", model="boosted"), svm_arrays())
    with pytest.raises(ModelError, match="not one of overload"):
        overload.classifier(card("frozen", "svm"), svm_arrays())


@pytest.mark.parametrize("method", METHODS)
def test_the_shipped_models_know_busy_from_idle(method: Method) -> None:
    busy_and_idle = np.array([[0.0], [12.0], [60.0], [78.0], [92.0], [100.0]])
    assert shipped(method).overloaded(busy_and_idle) == [0, 0, 0, 0, 1, 1]
    assert shipped(method).card.scores["f1"] > 0.9


ROWS = np.array([[40.0], [60.0]])


@pytest.mark.parametrize("method", METHODS)
def test_another_version_is_taken_up_while_running(tmp_path: Path, method: Method) -> None:
    clock = ManualClock()
    models = OverloadModels(tmp_path, clock)
    assert models.named(method) is shipped(method)
    registry.add(tmp_path, card(name=method), ARRAYS[method](50.0), use=True)
    assert models.named(method) is shipped(method), "it does not look at every question"
    clock.advance(overload.LOOK_EVERY)
    assert models.named(method).overloaded(ROWS) == [0, 1]
    registry.add(tmp_path, card(name=method), ARRAYS[method](30.0), use=False)
    clock.advance(overload.LOOK_EVERY)
    first = models.named(method)
    assert first.overloaded(ROWS) == [0, 1], "it was not put into use"
    clock.advance(overload.LOOK_EVERY)
    assert models.named(method) is first, "and is not read again and again"
    registry.use(tmp_path, "overload", method, 2)
    clock.advance(overload.LOOK_EVERY)
    assert models.named(method).overloaded(ROWS) == [1, 1]
    registry.use(tmp_path, "overload", method, None)
    clock.advance(overload.LOOK_EVERY)
    assert models.named(method) is shipped(method)


def test_a_refused_model_is_named_once_and_the_shipped_one_answers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    models = OverloadModels(tmp_path, clock)
    registry.add(tmp_path, card(), svm_arrays(), use=True)
    file = tmp_path / "overload" / "svm" / "1" / "model.npz"
    good = file.read_bytes()
    file.write_bytes(b"\x80\x04evil")
    for _ in range(3):
        assert models.named("svm") is shipped("svm")
        clock.advance(overload.LOOK_EVERY)
    told = [r for r in caplog.records if r.message == "a model is not used"]
    assert len(told) == 1 and "the model overload svm 1 is refused" in told[0].__dict__["reason"]
    file.write_bytes(good)
    assert models.named("svm").overloaded(ROWS) == [0, 1], "mended, it is used"


def test_a_model_whose_arrays_are_nonsense_is_refused_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    registry.add(tmp_path, card(), svm_arrays() | {"gamma": np.array([-1.0])}, use=True)
    assert OverloadModels(tmp_path, ManualClock()).named("svm") is shipped("svm")
    assert "the model overload svm 1 is refused: it has" in caplog.records[0].__dict__["reason"]


def test_a_version_in_use_that_is_gone_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    registry.add(tmp_path, card(), svm_arrays(), use=True)
    (tmp_path / "overload" / "svm" / "current").write_text("7\n")
    assert OverloadModels(tmp_path, ManualClock()).named("svm") is shipped("svm")
    assert "svm 7 is in use, and is not there" in caplog.records[0].__dict__["reason"]
