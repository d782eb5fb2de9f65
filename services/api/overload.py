"""Which numbers of a series are overload: two simple methods, and two that were learned."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev

import numpy as np

from services.api import messages
from services.api.errors import unprocessable
from shared.models.overload import Method, OverloadModels, shipped
from shared.runtime.clock import Clock

SIGMAS = 3.0
PERCENT = 80.0


def above(data: Sequence[float], threshold: float = PERCENT) -> list[int]:
    """1 where a value is greater than ``threshold``."""
    return [int(x > threshold) for x in data]


def sigma(data: Sequence[float], sigmas: float = SIGMAS) -> list[int]:
    """1 where a value is more than ``sigmas`` standard deviations above the mean of all."""
    if not data:
        return []
    limit = fmean(data) + sigmas * pstdev(data)
    return [int(x > limit) for x in data]


@dataclass(frozen=True)
class Judged:
    """``model``: which said so, as ``svm/3`` or ``svm/shipped``."""

    overload: list[int]
    model: str


class Learned:
    """The trained models that are in use under ``directory``, or the shipped ones."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._models = OverloadModels(directory, clock)
        # A long series costs a second of CPU; one at a time leaves the others theirs.
        self._one = asyncio.Semaphore(1)

    async def judge(self, method: Method, data: Sequence[float]) -> Judged:
        """Raises ``ApiError`` 422 where the model in use wants more than one number at a time."""
        async with self._one:
            return await asyncio.to_thread(self._judge, method, data)

    def _judge(self, method: Method, data: Sequence[float]) -> Judged:
        model = self._models.named(method)
        if len(model.features) != 1:
            names = ", ".join(model.features)
            raise unprocessable(messages.MODEL_WANTS_COLUMNS.of(method=method, columns=names))
        version = "shipped" if model is shipped(method) else model.card.version
        return Judged(model.overloaded(np.array(data, dtype=float).reshape(-1, 1)), f"{method}/{version}")
