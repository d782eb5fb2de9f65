"""A support vector machine and a random forest that say which readings are overload, and how well they do it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score, recall_score, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from services.train.labelled import Labelled, TrainError
from shared.models import forest, svm
from shared.models.overload import Method

FOLDS = 5
FEWEST = 10
"""Rows of each label."""
MOST_ROWS: Mapping[Method, int] = {"svm": 3000, "forest": 50_000}
"""Fitted on; of more, as many of each label as there are in proportion, drawn once and for all."""
PARAMETERS: Mapping[Method, dict[str, float]] = {
    "svm": {"C": 1.0},
    "forest": {"n_estimators": 50, "max_depth": 12, "min_samples_leaf": 3},
}
PLAIN = 80.0
"""The threshold that a model is compared with, where there is one column of per cent."""

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Fitted:
    arrays: Arrays
    scores: dict[str, float]
    rows: int
    parameters: dict[str, float]


def fitted(method: Method, data: Labelled) -> Fitted:
    """Raises ``TrainError`` where there is too little to learn from and to be tried on."""
    tried = {balanced: _tried(method, balanced, data) for balanced in (False, True)}
    balanced = tried[True]["f1"] > tried[False]["f1"]
    arrays = _exported(method, _fit(method, balanced, data.rows, data.overload))
    arrays |= {"low": data.rows.min(axis=0), "high": data.rows.max(axis=0)}
    parameters = PARAMETERS[method] | {"balanced": float(balanced)}
    return Fitted(arrays, tried[balanced], min(len(data.rows), MOST_ROWS[method]), parameters)


def _tried(method: Method, balanced: bool, data: Labelled) -> dict[str, float]:
    """Scores on rows that were not learned from, the mean over the folds."""
    scores: dict[str, list[float]] = defaultdict(list)
    for learn, ask in folds(data):
        model = _fit(method, balanced, data.rows[learn], data.overload[learn])
        found = _decide(method, model, data.rows[ask])
        for name, score in _scored(data.overload[ask], found).items():
            scores[name].append(score)
        if data.rows.shape[1] == 1:
            plain = f1_score(data.overload[ask], data.rows[ask, 0] > PLAIN, zero_division=0.0)
            scores[f"f1 of a threshold of {PLAIN:.0f}"].append(float(plain))
    if not scores:
        raise TrainError("no part of the time has both overload and calm: name a longer one, or more hosts")
    of_folds = {name: float(np.mean(of)) for name, of in scores.items()}
    return of_folds | {
        "f1, worst fold": min(scores["f1"]),
        "folds": len(scores["f1"]),
        "overload": int(data.overload.sum()),
    }


def folds(data: Labelled) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows to learn from and rows to ask about. In order of time, neighbours are on the same side."""
    counts = np.bincount(data.overload.astype(int), minlength=2)
    if counts.min() < FEWEST:
        raise TrainError(
            f"{counts[1]} rows are overload and {counts[0]} are not; at least {FEWEST} of each are needed to learn from"
        )
    if data.group is None:
        yield from StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(data.rows, data.overload)
        return
    with_overload = len(np.unique(data.group[data.overload]))
    without = len(np.unique(data.group[~data.overload]))
    if min(with_overload, without) < 2:
        raise TrainError(
            "all overload is within one hour of one host, or all calm is; a model made of it could not be tried on "
            "another: name a longer time, or more hosts"
        )
    splitter = StratifiedGroupKFold(min(FOLDS, with_overload, without), shuffle=True, random_state=0)
    for learn, ask in splitter.split(data.rows, data.overload, data.group):
        if len(np.unique(data.overload[learn])) == len(np.unique(data.overload[ask])) == 2:
            yield learn, ask


def _drawn(overload: NDArray[np.bool_], most: int) -> NDArray[np.intp]:
    if len(overload) <= most:
        return np.arange(len(overload))
    rng = np.random.default_rng(0)
    parts = []
    for label in (True, False):
        rows = np.flatnonzero(overload == label)
        share = max(FEWEST, round(most * len(rows) / len(overload)))
        parts.append(rng.choice(rows, min(share, len(rows)), replace=False))
    return np.sort(np.concatenate(parts))


def _fit(method: Method, balanced: bool, rows: NDArray[np.float64], overload: NDArray[np.bool_]) -> Any:
    """``balanced``: the rarer label weighs more, as much as it is rarer."""
    chosen = _drawn(overload, MOST_ROWS[method])
    rows, overload = rows[chosen], overload[chosen]
    weight = "balanced" if balanced else None
    if method == "svm":
        scaler = StandardScaler().fit(rows)
        return scaler, SVC(**PARAMETERS["svm"], class_weight=weight).fit(scaler.transform(rows), overload)
    settings = {name: int(value) for name, value in PARAMETERS["forest"].items()}
    return RandomForestClassifier(**settings, class_weight=weight, random_state=0).fit(rows, overload)


def _decide(method: Method, model: Any, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Above zero is overload."""
    if method == "svm":
        scaler, classifier = model
        found: NDArray[np.float64] = classifier.decision_function(scaler.transform(rows))
    else:
        found = model.predict_proba(rows)[:, 1] - 0.5
    return found


def _exported(method: Method, model: Any) -> Arrays:
    return svm.exported(*model) if method == "svm" else forest.exported(model)


def _scored(truth: NDArray[np.bool_], found: NDArray[np.float64]) -> dict[str, float]:
    said = found > 0
    return {
        "f1": float(f1_score(truth, said, zero_division=0.0)),
        "precision": float(precision_score(truth, said, zero_division=0.0)),
        "recall": float(recall_score(truth, said, zero_division=0.0)),
        "balanced accuracy": float(balanced_accuracy_score(truth, said)),
        "roc auc": float(roc_auc_score(truth, found)),
    }
