"""A host's history as a table: one row an instant, with the last value of what is measured less often."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.detector.features import WATCHED
from services.history.stored import Reading
from services.train.labelled import TrainError
from shared.models.channels import FRESH_MS
from shared.models.frozen import MOST_FEATURES

MOST_ROWS = 50_000
FEWEST_ROWS = 300
PRESENT = 0.95
"""Metrics that are there in less than this part of the rows are left out."""
LEVELS = frozenset({"disk.percent", "disk.inodes_percent"})
"""They only grow: a frozen model would find every later day strange, and there are findings of their own for them."""
METRICS = tuple(name for name in WATCHED if name not in LEVELS)


@dataclass(frozen=True)
class Stretch:
    """``ts_ms`` (n), ascending; ``rows`` (n, k) of ``features`` (k), NaN where a metric was not there."""

    features: tuple[str, ...]
    ts_ms: NDArray[np.int64]
    rows: NDArray[np.float64]

    def where(self, chosen: NDArray[np.bool_]) -> Stretch:
        return Stretch(self.features, self.ts_ms[chosen], self.rows[chosen])


async def collected(pieces: AsyncIterable[Sequence[Reading]], start_ms: int, end_ms: int) -> Stretch:
    """Evenly spaced, at most ``MOST_ROWS`` of them. Raises ``StoreError``."""
    step = max(1, (end_ms - start_ms) // MOST_ROWS)
    at: dict[str, int] = {}
    last: list[tuple[int, float]] = []
    ts, rows, taken = [], [], -1
    async for piece in pieces:
        for reading in piece:
            for name, value in reading.features.items():
                number = at.setdefault(name, len(at))
                if number == len(last):
                    last.append((reading.ts_ms, value))
                else:
                    last[number] = reading.ts_ms, value
            if reading.ts_ms // step != taken:
                taken = reading.ts_ms // step
                oldest = reading.ts_ms - FRESH_MS
                ts.append(reading.ts_ms)
                rows.append(np.array([value if seen >= oldest else np.nan for seen, value in last]))
    table = np.full((len(rows), len(at)), np.nan)
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return Stretch(tuple(at), np.array(ts, dtype=np.int64), table)


def complete(stretch: Stretch) -> Stretch:
    """The metrics that are nearly always there, and the rows that have them all. Raises ``TrainError``."""
    if len(stretch.rows) < FEWEST_ROWS:
        raise TrainError(f"only {len(stretch.rows)} quiet readings; at least {FEWEST_ROWS} are needed")
    there = np.isfinite(stretch.rows)
    share = there.mean(axis=0)
    columns = sorted(np.flatnonzero(share >= PRESENT), key=lambda at: stretch.features[at])[:MOST_FEATURES]
    whole = there[:, columns].all(axis=1)
    if not columns or whole.sum() < FEWEST_ROWS:
        raise TrainError(f"only {int(whole.sum())} readings have every metric; at least {FEWEST_ROWS} are needed")
    return Stretch(tuple(stretch.features[at] for at in columns), stretch.ts_ms[whole], stretch.rows[whole][:, columns])
