"""A host's quiet hours: nearest neighbours, a one-class support vector machine, an isolation forest, one scale."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.svm import OneClassSVM

from services.train import isolation, moves
from services.train.labelled import TrainError
from services.train.stretch import Stretch
from shared.models import frozen as runtime
from shared.models.card import Card
from shared.models.frozen import Frozen

BLOCKS = 12
"""Pieces of the stretch; every third is held out. Whole pieces, since neighbours in time are alike."""
PARAMETERS: dict[str, float] = {
    "prototypes": 300,
    "svm rows": 2000,
    "svm nu": 0.01,
    "trees": 25,
    "rows a tree": 128,
}
ASKED = 4000
"""Held-out rows that are judged."""
ONE_IN = 1000
"""Held-out readings above 1."""
PUSHED = 8.0
"""Deviations that one metric is moved by, to see whether it would be found."""

Arrays = dict[str, NDArray[Any]]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Made:
    arrays: Arrays
    scores: dict[str, float]
    rows: int


def made(stretch: Stretch, card: Card) -> Made:
    """``stretch``: complete and quiet. ``card``: tells the features; scores are of pieces that neither the models nor
    their scale had seen. Raises ``TrainError``.
    """
    piece = np.arange(len(stretch.rows)) * BLOCKS // len(stretch.rows) % 3
    alarms, found = [], []
    for turn in range(3):
        fit, scale, ask = (stretch.rows[piece == (turn + n) % 3] for n in range(3))
        model = runtime.frozen(card, _arrays(card, fit, scale))
        unseen = _some(ask, ASKED // 4)
        alarms.append(np.mean([model.score(row) > 1 for row in unseen]))
        found.append(np.mean([model.score(row) > 1 for row in _pushed(unseen, model)]))
    rest = stretch.rows[piece != 2]
    scores = {
        "quiet readings above 1": float(np.mean(alarms)),
        "quiet readings above 1, worst third": float(np.max(alarms)),
        f"found: one metric {PUSHED:.0f} deviations off": float(np.mean(found)),
    }
    return Made(_arrays(card, rest, stretch.rows[piece == 2]), scores, len(rest))


def _arrays(card: Card, rows: Floats, held_out: Floats) -> Arrays:
    arrays = _fitted(card.features, rows)
    model = runtime.frozen(card, arrays)
    asked = _some(held_out, ASKED)
    members = np.array([model.members(row) for row in asked])
    low = np.median(members, axis=0)
    span = np.maximum(_rarely(members) - low, 1e-6)
    model = replace(model, low=tuple(low.tolist()), span=tuple(span.tolist()))
    top = float(_rarely(np.array([model.raw(row) for row in asked])[:, None])[0])
    if not top > 0:
        raise TrainError("every reading is the same: there is nothing to tell strange from usual")
    return arrays | {"low": low, "span": span, "top": np.array([top])}


def _rarely(values: Floats) -> Floats:
    """What one in ``ONE_IN`` of each column is above, and the greatest where there are fewer."""
    found: Floats = np.quantile(values, 1 - 1 / ONE_IN, axis=0, method="higher")
    return found


def _fitted(features: list[str], rows: Floats) -> Arrays:
    """Everything but the scale, which is neutral."""
    logged = np.array([moves.is_rate(name) for name in features])
    logs = moves.seen(features, rows)
    mean = logs.mean(axis=0)
    scale = np.maximum(logs.std(axis=0), moves.least_scales(features, mean))
    z = runtime.scaler(logged, mean, scale)(rows)
    one_class = OneClassSVM(nu=PARAMETERS["svm nu"]).fit(_some(z, int(PARAMETERS["svm rows"])))
    trees, a_tree = int(PARAMETERS["trees"]), min(int(PARAMETERS["rows a tree"]), len(z))
    forest = IsolationForest(n_estimators=trees, max_samples=a_tree, random_state=0).fit(z)
    return isolation.exported(forest) | {
        "logged": logged.astype(int),
        "mean": mean,
        "scale": scale,
        "prototypes": _some(z, int(PARAMETERS["prototypes"])),
        "vectors": one_class.support_vectors_,
        "coefficients": one_class.dual_coef_.ravel(),
        "intercept": one_class.intercept_.ravel(),
        "gamma": np.array([one_class._gamma]),
        "low": np.zeros(3),
        "span": np.ones(3),
        "top": np.ones(1),
    }


def _some(rows: Floats, most: int) -> Floats:
    """Evenly spaced."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(int)]


def _pushed(rows: Floats, model: Frozen) -> Floats:
    """Each with one metric moved, upwards, as the model sees it."""
    out = rows.copy()
    scaler = model.scaler
    for number in range(len(out)):
        at = number % rows.shape[1]
        moved = out[number, at]
        if scaler.logged[at]:
            moved = np.expm1(np.log1p(abs(moved)) + PUSHED * scaler.scale[at])
        else:
            moved += PUSHED * scaler.scale[at]
        out[number, at] = moved
    return out
