"""What each metric of a host usually is at this time of day: a slow level, a daily profile, a usual deviation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.detector.core.config import DAY, HOUR, CoreConfig

Floats = NDArray[np.float64]
Index = NDArray[np.intp]

HOURS = 24
_FIRST = 20  # events of a metric before its deviations mean anything
_TINY = 1e-9


class Baseline:
    """Two opinions side by side, the usual one and a wary one that learns less of what is unusual: level and spread are
    (2, n) over metrics, profiles (2, 24, n) and (2, 2, 24, n) for working days and weekends; events and seen are (n).
    """

    def __init__(self, config: CoreConfig) -> None:
        self._config = config
        self._clips = np.array([[config.clip], [config.wary_clip]])
        self._index: Index | None = None
        self._place_of_index: Index | slice = slice(None)
        self.arrays: dict[str, Floats] = {
            **{name: np.zeros((2, 0)) for name in ("level", "spread", "size", "lean", "lean_mean")},
            **{name: np.zeros(0) for name in ("events", "seen")},
            "daily": np.zeros((2, HOURS, 0)),
            "weekly": np.zeros((2, 2, HOURS, 0)),
            "visited": np.zeros((HOURS, 0)),
        }

    @property
    def width(self) -> int:
        return int(self.arrays["events"].shape[0])

    def widen(self, count: int) -> None:
        """Room for ``count`` more metrics."""
        self._index = None
        for name, a in self.arrays.items():
            self.arrays[name] = np.concatenate([a, np.zeros((*a.shape[:-1], count))], axis=-1)

    def forget(self, slot: int) -> None:
        for a in self.arrays.values():
            a[..., slot] = 0.0

    def expect(self, at_s: float, index: Index) -> tuple[Floats, Floats]:
        """The expected value and the usual deviation (2, k) of the metrics in ``index``, in their own units."""
        a = self.arrays
        low, high, part, kind = _place(at_s)
        first = a["daily"][:, low] + a["weekly"][:, kind, low]
        second = a["daily"][:, high] + a["weekly"][:, kind, high]
        expected = a["level"] + (1.0 - part) * first + part * second
        spread = np.maximum(1.25 * a["spread"], 0.01 * a["size"] + _TINY)
        where = self._where(index)
        return expected[:, where], spread[:, where]

    def _where(self, index: Index) -> Index | slice:
        """All of them as a slice: views, at a third of the price of an index. Asked with the same array, mostly."""
        if index is not self._index:
            whole = len(index) == self.width and bool((index[1:] > index[:-1]).all())
            self._index, self._place_of_index = index, slice(None) if whole else index
        return self._place_of_index

    def ready(self, index: Index) -> NDArray[np.bool_]:
        ready: NDArray[np.bool_] = self.arrays["events"][self._where(index)] >= _FIRST
        return ready

    def learn(self, at_s: float, dt_s: float, places: Index, values: Floats, expected: Floats, spread: Floats) -> Index:
        """Move towards ``values`` (k), by no more than the clips; ``expected`` and ``spread`` (2, k) as they were told.
        Returns the slots whose usual level was moved at once.
        """
        a, c = self.arrays, self._config
        error = values - expected
        index = self._where(places)
        events = a["events"][index]
        young: NDArray[np.bool_] | None = events < _FIRST
        reach = self._clips * spread
        level_pace: Floats | float = _rate(dt_s, c.offset_half_life_s)
        pace: Floats | float = _rate(dt_s, c.spread_half_life_s)
        if young is not None and young.any():
            fresh = 1.0 / (events + 1.0)
            reach = np.where(young, np.inf, reach)
            level_pace, pace = np.where(young, fresh, level_pace), np.where(young, fresh, pace)
        else:
            young = None
        taken = np.minimum(np.maximum(error, -reach), reach)
        a["level"][:, index] += level_pace * taken
        off = np.abs(taken) if young is None else np.where(events == 0, 0.0, np.abs(taken))
        a["spread"][:, index] += pace * (off - a["spread"][:, index])
        size = a["size"][:, index]
        a["size"][:, index] = size + pace * (np.minimum(np.abs(values), size + np.abs(taken)) - size)
        self._learn_profile(at_s, dt_s, index, taken if young is None else np.where(young, 0.0, taken))
        a["events"][index] = events + 1.0
        a["seen"][index] = at_s
        return places[self._relevel(dt_s, index, error, spread, young)]

    def _learn_profile(self, at_s: float, dt_s: float, index: Index | slice, taken: Floats) -> None:
        a, c = self.arrays, self._config
        low, high, part, kind = _place(at_s)
        for hour, share in ((low, 1.0 - part), (high, part)):
            weight = share * dt_s
            visited = a["visited"][hour][index]
            pace = np.maximum(_rate(weight, c.profile_half_life_s), weight / (visited + weight + 0.5 * HOUR))
            step = pace * taken
            a["daily"][:, hour, index] += step
            a["weekly"][:, kind, hour, index] += 0.3 * step
            a["visited"][hour, index] = visited + weight

    def _relevel(
        self, dt_s: float, index: Index | slice, error: Floats, spread: Floats, young: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_]:
        """``lean``: signed seconds a metric has been on one side; it drains three times as fast as it fills."""
        a, c = self.arrays, self._config
        lean = a["lean"][:, index]
        beyond = np.abs(error) > c.relevel_beyond * spread
        if not beyond.any() and not lean.any():
            return np.zeros(beyond.shape[1], dtype=np.bool_)
        side = np.where(beyond if young is None else beyond & ~young, np.sign(error), 0.0)
        same = (side != 0) & (side * lean >= 0)
        lean = np.where(same, lean + side * dt_s, np.sign(lean) * np.maximum(np.abs(lean) - 3 * dt_s, 0.0))
        mean = a["lean_mean"][:, index]
        mean = np.where(same, mean + _rate(dt_s, HOUR) * (error - mean), np.where(lean == 0, 0.0, mean))
        moved = np.abs(lean) >= c.relevel_after_s
        a["level"][:, index] += np.where(moved, mean, 0.0)
        a["lean"][:, index] = np.where(moved, 0.0, lean)
        a["lean_mean"][:, index] = np.where(moved, 0.0, mean)
        usual: NDArray[np.bool_] = moved[0]
        return usual


def _rate(dt_s: float, half_life_s: float) -> float:
    return float(1.0 - 2.0 ** (-dt_s / half_life_s))


def _place(at_s: float) -> tuple[int, int, float, int]:
    """The two hours of the day this instant lies between, how far, and 1 on a weekend (UTC)."""
    hour = (at_s % DAY) / HOUR - 0.5
    low = int(np.floor(hour))
    return low % HOURS, (low + 1) % HOURS, hour - low, int((at_s // DAY + 3) % 7 >= 5)
