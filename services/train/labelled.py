"""Rows with a label: what a classifier learns from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


class TrainError(ValueError):
    """There is nothing to learn from, or not enough; the message says where and why."""


@dataclass(frozen=True)
class Labelled:
    """``rows`` (n, k) of ``features`` (k); ``overload`` (n). ``group`` (n): rows of one group belong together in time
    and are never both learned from and asked about; ``None`` where the rows are in no order. ``span``: epoch ms.
    """

    features: tuple[str, ...]
    rows: NDArray[np.float64]
    overload: NDArray[np.bool_]
    group: NDArray[np.intp] | None = None
    span: tuple[int, int] | None = None
    about: dict[str, str] = field(default_factory=dict)
