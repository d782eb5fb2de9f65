"""What a number ordinarily is at this time of the day: the lowest and highest minute of each hour, forgotten slowly.

Extremes, not averages, because what matters is whether something has been like this before: the backup at two, the
quiet of the night. In the logarithm, as rates are. A minute is not learned at once: it may be the first of a fault.
"""

from __future__ import annotations

import math
import struct

import msgspec

DAY_MS = 86_400_000
_HOURS = 24
_SLOT = struct.Struct("<3d")
_FADING_DAYS = 14.0
_WAITING = 5
_LONGEST_MINUTES = 11
"""What was read before a longer gap says nothing of the time after it."""


def _empty() -> bytearray:
    return bytearray(_SLOT.pack(math.nan, math.nan, 0.0) * _HOURS)


class Level(msgspec.Struct, gc=False):
    """Per hour of the day (UTC): log of the lowest and highest minute, and the day it was last looked at; ``waiting``:
    instants and logs of the last few minutes, which are learned when those after them were ordinary too.
    """

    data: bytearray = msgspec.field(default_factory=_empty)
    first_ms: int = -1
    waiting: list[tuple[int, float]] = msgspec.field(default_factory=list)

    def learn(self, ts_ms: int, value: float) -> None:
        """``value``: the mean of about a minute, at least 0."""
        if self.first_ms < 0:
            self.first_ms = ts_ms
        self.waiting.append((ts_ms, math.log1p(value)))
        if len(self.waiting) > _WAITING:
            self._widen(*self.waiting.pop(0))

    def doubt(self) -> None:
        """Something is unusual now: what was just before may be a part of it, and is not learned."""
        self.waiting.clear()

    def learn_half(self, ts_ms: int, value: float) -> None:
        """What was so far out that people were told of it: half of the way there is usual from now on, so that what
        comes again and again is known after a few times.
        """
        usual = self.usual(ts_ms)
        if usual:
            nearest = min(max(value, usual[0]), usual[1])
            self._widen(ts_ms, (math.log1p(value) + math.log1p(nearest)) / 2)

    def _widen(self, ts_ms: int, x: float) -> None:
        at = self._at(ts_ms // 3_600_000)
        low, high, day = _SLOT.unpack_from(self.data, at)
        today = ts_ms // DAY_MS
        if math.isnan(low):
            low = high = x
        elif today > day:
            fade = 0.5 ** ((today - day) / _FADING_DAYS)
            middle = (low + high) / 2
            low, high = middle + (low - middle) * fade, middle + (high - middle) * fade
        _SLOT.pack_into(self.data, at, min(low, x), max(high, x), today)

    def usual(self, ts_ms: int) -> tuple[float, float] | None:
        """Lowest and highest around this time of the day; ``None`` until a day is known."""
        if self.first_ms < 0 or ts_ms - self.first_ms < DAY_MS:
            return None
        hour = ts_ms // 3_600_000
        slots = [_SLOT.unpack_from(self.data, self._at(h)) for h in (hour - 1, hour, hour + 1)]
        known = [s for s in slots if not math.isnan(s[0])]
        if len(known) < len(slots):
            return None
        return math.expm1(min(s[0] for s in known)), math.expm1(max(s[1] for s in known))

    @staticmethod
    def _at(hour: int) -> int:
        return hour % _HOURS * _SLOT.size


class Minute(msgspec.Struct, gc=False):
    """The mean of each minute, weighing every reading the same."""

    number: int = -1
    total: float = 0.0
    count: int = 0

    def step(self, ts_ms: int, value: float) -> float | None:
        """The mean of the minute that ended with this reading, if one did."""
        ended = None
        number = ts_ms // 60_000
        if number != self.number:
            if self.count and number - self.number <= _LONGEST_MINUTES:
                ended = self.total / self.count
            self.number, self.total, self.count = number, 0.0, 0
        self.total += value
        self.count += 1
        return ended
