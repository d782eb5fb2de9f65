"""Which rows are overload, as a trained support vector machine or random forest has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shared.models import forest, registry, svm
from shared.models.arrays import Arrays, ModelError, take
from shared.models.card import Card
from shared.models.holder import Holder
from shared.runtime.clock import Clock

Method = Literal["svm", "forest"]
METHODS: tuple[Method, ...] = ("svm", "forest")
LOOK_EVERY = 2.0  # seconds
SHIPPED = Path(__file__).parent / "shipped"
_OF: dict[str, Callable[[Arrays, int], svm.Svm | forest.Forest]] = {"svm": svm.of, "forest": forest.of}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Classifier:
    """``low``, ``high``: the range of each feature it was trained on. What is beyond is judged as the nearest within,
    since far from everything it has seen a support vector machine says the same of all.
    """

    card: Card
    low: Floats
    high: Floats
    model: svm.Svm | forest.Forest

    @property
    def features(self) -> Sequence[str]:
        return self.card.features

    def overloaded(self, rows: Floats) -> list[int]:
        """(n, k) -> n times 0 or 1. The same row twice is judged once."""
        if not len(rows):
            return []
        distinct, which = np.unique(np.clip(rows, self.low, self.high), axis=0, return_inverse=True)
        found: list[int] = self.model.overloaded(distinct)[which.reshape(-1)].astype(int).tolist()
        return found


def classifier(card: Card, arrays: Arrays) -> Classifier:
    """Raises ``ModelError`` on what is none."""
    if card.kind != "overload" or card.model not in _OF:
        raise ModelError(f"it is a {card.kind} model of the sort {card.model!r}, not one of overload")
    count = len(card.features)
    low, high = take(arrays, "low", "f", count), take(arrays, "high", "f", count)
    return Classifier(card, low, high, _OF[card.model](arrays, count))


@cache
def shipped(method: Method) -> Classifier:
    """What judges until somebody has trained a model: made of generated readings, see ``docs/training.md``."""
    return classifier(*registry.read(SHIPPED / method, "overload", method, 1))


class OverloadModels:
    """The models in use, from ``directory``. May be asked from several threads."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._holders = {m: Holder(directory, "overload", m, classifier) for m in METHODS}
        self._clock = clock
        self._looked_at = -LOOK_EVERY
        self._lock = Lock()

    def named(self, method: Method) -> Classifier:
        """The one that is in use, or else the shipped one."""
        with self._lock:
            if (now := self._clock.monotonic()) - self._looked_at >= LOOK_EVERY:
                self._looked_at = now
                for holder in self._holders.values():
                    holder.refresh()
            return self._holders[method].value or shipped(method)
