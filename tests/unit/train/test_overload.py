"""What is learned from labels, and how it is tried."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.history.episodes import Episode
from services.train import overload
from services.train.from_history import overload_episodes
from services.train.labelled import Labelled, TrainError
from services.train.overload import fitted, folds
from services.train.shipped import generated
from shared.models.overload import METHODS, Method, classifier
from shared.schemas.control import Feedback
from tests.support.models import card


def history(hours: int, overloaded: set[int]) -> Labelled:
    """Twenty readings an hour; in some hours half of them are overload."""
    hour = np.repeat(np.arange(hours), 20)
    busy = np.isin(hour, list(overloaded)) & (np.arange(len(hour)) % 2 == 0)
    rows = np.where(busy, 95.0, 20.0) + np.arange(len(hour)) % 7
    return Labelled(("cpu.percent",), rows[:, None], busy, group=hour)


@pytest.mark.parametrize("method", METHODS)
def test_what_was_labelled_is_learned(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(overload.PARAMETERS, "forest", {"n_estimators": 5, "max_depth": 4, "min_samples_leaf": 3})  # type: ignore[arg-type]
    data = generated(300)
    fit = fitted(method, data)
    model = classifier(card(name=method), fit.arrays)
    assert np.mean(np.array(model.overloaded(data.rows)) == data.overload) > 0.95
    assert fit.scores["f1"] > 0.8 and fit.scores["folds"] == 5 and fit.scores["overload"] == data.overload.sum()
    assert next(iter(fit.scores)) == "f1", "it is the one that the list shows"
    assert fit.scores["f1, worst fold"] <= fit.scores["f1"]
    assert "f1 of a threshold of 80" in fit.scores
    assert all(0 <= s <= 1 for n, s in fit.scores.items() if n not in ("folds", "overload"))
    again = fitted(method, data)
    assert again.scores == fit.scores and all((again.arrays[n] == a).all() for n, a in fit.arrays.items())


def test_several_columns_are_learned_together() -> None:
    rng = np.random.default_rng(0)
    rows = rng.uniform(0, 100, (200, 2))
    fit = fitted("svm", Labelled(("cpu", "mem"), rows, rows.sum(axis=1) > 120))
    model = classifier(card(features=("cpu", "mem")), fit.arrays)
    assert model.overloaded(np.array([[90.0, 90.0], [90.0, 5.0]])) == [1, 0]
    assert "f1 of a threshold of 80" not in fit.scores


def test_labels_that_say_nothing_score_nothing() -> None:
    rng = np.random.default_rng(0)
    data = Labelled(("x",), rng.uniform(0, 100, (200, 1)), rng.uniform(0, 1, 200) > 0.5)
    assert fitted("svm", data).scores["roc auc"] < 0.65


def test_neighbours_in_time_are_never_on_both_sides() -> None:
    data = history(12, {1, 4, 7, 10})
    tried = list(folds(data))
    assert len(tried) == 4
    assert data.group is not None
    for learn, ask in tried:
        assert set(data.group[learn]).isdisjoint(data.group[ask])
        assert data.overload[learn].any() and data.overload[ask].any() and not data.overload[ask].all()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (Labelled(("x",), np.zeros((30, 1)), np.arange(30) < 9), "9 rows are overload and 21 are not; at least 10"),
        (Labelled(("x",), np.zeros((30, 1)), np.ones(30, dtype=bool)), "30 rows are overload and 0 are not"),
        (history(12, {3}), "all overload is within one hour"),
        (replace(history(12, {3}), overload=history(12, {3}).group != 3), "all calm is"),
    ],
)
def test_too_little_to_be_tried_on_is_refused(data: Labelled, said: str) -> None:
    with pytest.raises(TrainError, match=said):
        list(folds(data))


def test_of_too_many_rows_both_labels_are_drawn() -> None:
    labels = np.arange(10_000) % 500 == 0
    chosen = overload._drawn(labels, 1000)
    assert len(set(chosen)) == len(chosen) == 1008 and labels[chosen].sum() == overload.FEWEST
    assert (chosen == overload._drawn(labels, 1000)).all()


def opinion(anomaly: str, verdict: str, metric: str = "cpu.percent") -> Feedback:
    return Feedback.model_validate(
        {
            "event_id": "e",
            "ts": 1,
            "host_id": "h1",
            "host": "web-1",
            "id": anomaly,
            "verdict": verdict,
            "author": "ada",
            "metrics": [{"metric": metric, "low": 0.0, "high": 1.0}],
        }
    )


@pytest.mark.parametrize(
    ("finding", "said", "is_overload"),
    [
        ("cpu_overload", None, True),
        ("cpu_overload", opinion("a", "real"), True),
        ("cpu_overload", opinion("a", "normal"), False),
        ("cpu_overload", opinion("b", "normal"), True),
        ("cpu_overload", opinion("a", "real", "memory.percent"), True),
        ("unusual", None, False),
        ("unusual", opinion("a", "real"), True),
        ("unusual", opinion("a", "real", "memory.percent"), False),
        ("unusual", opinion("a", "normal"), False),
    ],
)
def test_what_counts_as_overload(finding: str, said: Feedback | None, is_overload: bool) -> None:
    told = Episode("a", "h1", finding, 1000, 2000)
    assert overload_episodes([told], [said] if said else []) == ([told] if is_overload else [])


def test_an_episode_covers_its_ends_and_everything_after_one_that_has_not_ended() -> None:
    assert [Episode("a", "h", "x", 10, 20).covers(ts) for ts in (9, 10, 20, 21)] == [False, True, True, False]
    assert Episode("a", "h", "x", 10, None).covers(10**15)
