"""Which part of a host's history was quiet. Pure.

History is cut into windows of ten minutes. One is loud when many metrics were far from where they usually are, and
when an anomaly was told in it. The quiet stretch is the longest run of windows that are not, where a loud one in
between costs more than a quiet one brings; the loud ones in it are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.history.episodes import Episode
from services.train import moves
from services.train.stretch import Stretch

WINDOW_MS = 600_000
FAR = 4.0
"""Robust deviations from the median of all windows."""
MANY = 0.15
"""Of a host's metrics."""
WORTH = {"quiet": 1.0, "strange": -3.0, "told": -6.0, "empty": -1.0}


@dataclass(frozen=True)
class Quiet:
    """Epoch milliseconds, ``end_ms`` not included. ``rows``: which of the stretch's are quiet. ``left_out``: how many
    windows between start and end are loud.
    """

    start_ms: int
    end_ms: int
    rows: NDArray[np.bool_]
    left_out: int


def quiet(stretch: Stretch, told: Sequence[Episode]) -> Quiet | None:
    """``None`` where nothing is."""
    if not len(stretch.ts_ms):
        return None
    window = stretch.ts_ms // WINDOW_MS
    first = int(window[0])
    count = int(window[-1]) - first + 1
    worth = np.full(count, WORTH["empty"])
    seen = np.unique(window) - first
    worth[seen] = WORTH["quiet"]
    worth[seen[_strange(stretch, window)]] = WORTH["strange"]
    for number in range(count):
        if any(_touches(episode, (first + number) * WINDOW_MS) for episode in told):
            worth[number] = WORTH["told"]
    begin, end = _best(worth)
    calm = worth == WORTH["quiet"]
    if not calm[begin:end].any():
        return None
    inside = (window >= first + begin) & (window < first + end)
    left_out = int((worth[begin:end] <= WORTH["strange"]).sum())
    return Quiet((first + begin) * WINDOW_MS, (first + end) * WINDOW_MS, inside & calm[window - first], left_out)


def _strange(stretch: Stretch, window: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Of each window that has rows."""
    cuts = np.flatnonzero(np.diff(window)) + 1
    rows = moves.seen(stretch.features, stretch.rows)
    medians = np.array([_median(part) for part in np.split(rows, cuts)])
    usual = _median(medians)
    spread = 1.4826 * _median(np.abs(medians - usual))
    far = np.abs(medians - usual) > FAR * np.maximum(spread, moves.least_scales(stretch.features, usual))
    found: NDArray[np.bool_] = far.mean(axis=1) > MANY
    return found


def _median(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each column, without what is NaN; 0 for one that is nothing else."""
    out = np.zeros(rows.shape[1])
    there = np.isfinite(rows).any(axis=0)
    out[there] = np.nanmedian(rows[:, there], axis=0)
    return out


def _touches(episode: Episode, window_ms: int) -> bool:
    ended = episode.ended_ms
    return episode.started_ms < window_ms + WINDOW_MS and (ended is None or ended >= window_ms)


def _best(worth: NDArray[np.float64]) -> tuple[int, int]:
    """The run with the greatest sum; of equal ones the latest, since a host is more like what it was last."""
    best, best_run = -np.inf, (0, 0)
    total, begin = 0.0, 0
    for at, value in enumerate(worth):
        if total <= 0:
            total, begin = 0.0, at
        total += float(value)
        if total >= best:
            best, best_run = total, (begin, at + 1)
    return best_run
