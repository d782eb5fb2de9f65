"""Counters into rates per second: what goes backwards was reset, what is new has no past; both give nothing."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

MOMENT = 1e-9  # seconds: less is none, and would make rates endless


class Counters:
    """The previous reading of each key's counters."""

    def __init__(self) -> None:
        self._before: dict[Hashable, tuple[float, Sequence[int]]] = {}

    def since(self, key: Hashable, counters: Sequence[int], now: float) -> tuple[float, Sequence[int]] | None:
        """Seconds and growth of each counter since this key's previous reading.

        ``None`` at the first reading, after a reset (any counter smaller than before) and when no time has passed.
        """
        before = self._before.get(key)
        self._before[key] = (now, counters)
        if before is None or now - before[0] < MOMENT or len(before[1]) != len(counters):
            return None
        if counters == before[1]:
            return now - before[0], [0] * len(counters)
        growth = [b - a for a, b in zip(before[1], counters, strict=True)]
        if min(growth) < 0:
            return None
        return now - before[0], growth

    def rates(self, key: Hashable, counters: Sequence[int], now: float) -> list[float]:
        """Per second, one decimal; zeros where ``since`` has nothing to say."""
        step = self.since(key, counters, now)
        if step is None:
            return [0.0] * len(counters)
        seconds, growth = step
        if not any(growth):
            return [0.0] * len(counters)
        return [round(g / seconds, 1) for g in growth]

    def keep_only(self, keys: Iterable[Hashable]) -> None:
        """Forget what is gone: an interface that returns under its old name starts anew."""
        gone = self._before.keys() - set(keys)
        for key in gone:
            del self._before[key]


def percent(part: float, whole: float) -> float:
    """0..100, one decimal; 0 of nothing is 0."""
    if whole <= 0 or part <= 0:
        return 0.0
    return min(100.0, round(100.0 * part / whole, 1))
