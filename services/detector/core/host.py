"""One host: score what comes, then learn from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.detector.core import saved
from services.detector.core.baseline import Baseline
from services.detector.core.config import CoreConfig
from services.detector.core.energy import Energy
from services.detector.core.habit import Habit
from services.detector.core.level import Level
from services.detector.core.slots import Slots
from services.detector.core.trees import Trees

_LISTED = 5
_MATTERS = 0.5
_ONE, _ONE_NEWS = 3.5, 1.1
"""What is called 1: on the labelled public series each is passed wrongly about once a host and day, or less."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """``share`` of the whole deviation, 0..1; ``low`` and ``high`` bound what was expected."""

    metric: str
    share: float
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """``score``: 0..1 normal, above 1 anomalous; it lasts, for charts. ``news``: the same of this event alone, for
    pages; 0 while warming up. ``metrics``: the same scale for each metric that matters. ``shifted``: metrics whose
    level was moved at this event, after hours on one side.
    """

    score: float
    news: float = 0.0
    warming_up: bool = True
    contributions: tuple[Contribution, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    shifted: tuple[str, ...] = ()


class HostCore:
    """Not shared between threads. A late or repeated event is scored and not learned."""

    def __init__(self, config: CoreConfig | None = None) -> None:
        self._config = config or CoreConfig()
        self._clear()

    def _clear(self) -> None:
        c = self._config
        self._slots = Slots(c.max_metrics)
        self._baseline, self._energy, self._trees = Baseline(c), Energy(c), Trees(c)
        self._habit = Habit(c)
        self._level, self._news_level = Level(c, _ONE, most=4.5), Level(c, _ONE_NEWS, most=400.0)
        self._first_ms: int | None = None
        self._last_ms = 0
        self._recent = [0.0] * len(c.recent_s)

    def observe(self, ts_ms: int, features: Mapping[str, float]) -> Verdict:
        """``ts_ms``: the event's time. Values that are not finite count as missing; nothing a host sends raises."""
        c, base = self._config, self._baseline
        late = self._first_ms is not None and ts_ms <= self._last_ms
        if not late:
            self._seat(features)
        index, values = self._slots.read(features)
        if not len(index):
            return Verdict(0.0)
        at_s = ts_ms / 1000.0
        dt_s = 1.0 if self._first_ms is None else min(max((ts_ms - self._last_ms) / 1000.0, 0.0), c.gap_s)
        expected, spread = base.expect(at_s, index)
        ready = base.ready(index)
        z = np.where(ready, (values - expected) / spread, 0.0)
        usual, wary = np.zeros((2, base.width))
        usual[index], wary[index] = np.minimum(np.maximum(z, -c.clip), c.clip)
        habit = self._habit.of(at_s, index, z[0])
        excess = np.minimum(np.maximum(np.abs(z[0]) - c.dead_zone - habit, 0.0), c.cap)
        energy = 0.1 + self._energy.of(wary)
        rare, place = self._trees.of(usual)
        evidence = _evidence(excess, c.top3_weight) * (1.0 + c.trees_weight * rare)
        now, fresh = evidence * energy, evidence * math.sqrt(energy)
        raw = now + c.recent_weight * sum(self._recent)
        score, news = self._level.of(raw), self._news_level.of(fresh)
        warming_up = self._first_ms is None or ts_ms - self._first_ms < 1000.0 * c.warm_up_s
        shifted: NDArray[np.intp] = index[:0]
        if not late:
            shifted = base.learn(at_s, dt_s, index, values, expected, spread)
            self._habit.learn(at_s, index, z[0])
            self._energy.learn(dt_s, wary)
            self._trees.learn(dt_s, place)
            if not warming_up:
                self._level.learn(dt_s, raw)
                self._news_level.learn(dt_s, fresh)
            self._recent = [
                mean + _share(dt_s, s) * (now - mean) for mean, s in zip(self._recent, c.recent_s, strict=True)
            ]
            self._first_ms = ts_ms if self._first_ms is None else self._first_ms
            self._last_ms = ts_ms
        names = self._slots.names
        contributions, metrics = self._explain(index, values, expected[0], spread[0], z[0], habit, excess)
        told = tuple(names[i] for i in shifted.tolist())
        return Verdict(score, 0.0 if warming_up else news, warming_up, contributions, metrics, told)

    def _seat(self, features: Mapping[str, float]) -> None:
        replaced, added = self._slots.place(features, self._baseline.arrays["seen"])
        for slot in replaced:
            for part in (self._baseline, self._energy, self._habit):
                part.forget(slot)
        if added:
            for part in (self._baseline, self._energy, self._habit):
                part.widen(added)

    def _explain(
        self,
        index: NDArray[np.intp],
        values: NDArray[np.float64],
        expected: NDArray[np.float64],
        spread: NDArray[np.float64],
        z: NDArray[np.float64],
        habit: NDArray[np.float64],
        excess: NDArray[np.float64],
    ) -> tuple[tuple[Contribution, ...], dict[str, float]]:
        names, edge = self._slots.names, self._config.dead_zone
        total = float(excess.sum())
        if total <= 0.0:
            return (), {}
        order = np.argsort(-excess, kind="stable")[:_LISTED].tolist()
        named = []
        for i in order:
            if excess[i] > 0.0:
                middle, reach, more = float(expected[i]), edge * float(spread[i]), float(habit[i] * spread[i])
                low, high = (
                    (middle - reach - more, middle + reach) if z[i] < 0 else (middle - reach, middle + reach + more)
                )
                named.append(Contribution(names[index[i]], float(excess[i]) / total, float(values[i]), low, high))
        scale = 2.0 * edge  # a metric is anomalous at twice the dead zone
        metrics = {
            names[index[i]]: min(abs(float(z[i])) - float(habit[i]), 100.0) / scale
            for i in order
            if excess[i] > _MATTERS
        }
        return tuple(named), metrics

    def set_back(self, by_ms: int) -> None:
        """Time is counted from elsewhere now: the host's clock was set back."""
        if self._first_ms is not None:
            self._first_ms -= by_ms
            self._last_ms -= by_ms
            self._baseline.arrays["seen"] -= by_ms / 1000.0

    def state(self) -> bytes:
        """All there is to continue from, bit for bit."""
        masses, counter, first = self._trees.masses()
        numbers = {
            "first_ms": self._first_ms if self._first_ms is not None else -1,
            "last_ms": self._last_ms,
            **{f"recent_{i}": mean for i, mean in enumerate(self._recent)},
            "level": self._level.log,
            "news_level": self._news_level.log,
            "span": self._habit.span,
            "since_s": self._energy.since_s,
            "learned_s": self._energy.learned_s,
            "waited_s": self._trees.waited_s,
            "counter": counter,
            "first_window": int(first),
        }
        return saved.pack(self._slots.names, numbers, {**self._arrays(), "masses": masses})

    def restore(self, data: bytes) -> None:
        """Raises ValueError, and changes nothing, when ``data`` is not a state of this version."""
        names, numbers, arrays = saved.unpack(data, self._config.max_metrics)
        fresh = HostCore(self._config)
        fresh._slots = Slots(self._config.max_metrics, names)
        fresh._baseline.widen(len(names))
        fresh._energy.widen(len(names))
        fresh._habit.widen(len(names))
        saved.same_shapes(arrays, fresh._arrays() | {"masses": fresh._trees.masses()[0]})
        for owner in (fresh._baseline.arrays, fresh._energy.arrays, fresh._habit.arrays):
            owner.update({name: arrays[name] for name in owner})
        try:
            fresh._trees.put_masses(arrays["masses"], int(numbers["counter"]), bool(numbers["first_window"]))
            first_ms = int(numbers["first_ms"])
            fresh._first_ms = first_ms if first_ms >= 0 else None
            fresh._last_ms = int(numbers["last_ms"])
            fresh._recent = [float(numbers[f"recent_{i}"]) for i in range(len(self._recent))]
            fresh._level.log, fresh._news_level.log = float(numbers["level"]), float(numbers["news_level"])
            fresh._habit.span = int(numbers["span"])
            fresh._energy.since_s, fresh._energy.learned_s = float(numbers["since_s"]), float(numbers["learned_s"])
            fresh._trees.waited_s = float(numbers["waited_s"])
        except KeyError as missing:
            raise ValueError(f"the detector's state lacks {missing}") from missing
        self.__dict__.update(fresh.__dict__)

    def _arrays(self) -> dict[str, NDArray[np.float64]]:
        return {**self._baseline.arrays, **self._energy.arrays, **self._habit.arrays}


def _share(dt_s: float, memory_s: float) -> float:
    return 1.0 - math.exp(-dt_s / memory_s)


def _evidence(excess: NDArray[np.float64], top3_weight: float) -> float:
    top = np.partition(excess, -3)[-3:] if len(excess) > 3 else excess
    return float(excess.sum()) / len(excess) + top3_weight * float(top.sum()) / len(top)
