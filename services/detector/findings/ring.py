"""The last sixteen time buckets of one number, in 128 bytes."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

import msgspec

BUCKETS = 16
_ALL = struct.Struct(f"<{BUCKETS}d")
_ONE = struct.Struct("<d")
_NOTHING = math.inf
_EMPTY = _ALL.pack(*[_NOTHING] * BUCKETS)


def _empty() -> bytearray:
    return bytearray(_EMPTY)


def last(_: float, new: float) -> float:
    return new


class Ring(msgspec.Struct, gc=False):
    """``newest`` is the number of the newest bucket, counted from 1970 in steps of ``width_ms``."""

    width_ms: int
    newest: int = -1
    data: bytearray = msgspec.field(default_factory=_empty)

    def put(self, ts_ms: int, value: float, keep: Callable[[float, float], float] = last) -> float | None:
        """``keep`` says which of two values a bucket keeps. Where a bucket begins: what the one before it kept, or this
        value where there is none.
        """
        bucket = ts_ms // self.width_ms
        at = bucket % BUCKETS * 8
        if bucket == self.newest:
            _ONE.pack_into(self.data, at, keep(_ONE.unpack_from(self.data, at)[0], value))
            return None
        ended = value
        if self.newest < 0 or bucket - self.newest >= BUCKETS:
            self.data[:] = _EMPTY
        else:
            ended = _ONE.unpack_from(self.data, self.newest % BUCKETS * 8)[0]
            for skipped in range(self.newest + 1, bucket):
                _ONE.pack_into(self.data, skipped % BUCKETS * 8, _NOTHING)
        _ONE.pack_into(self.data, at, value)
        self.newest = bucket
        return ended

    def lowest(self) -> float:
        """Of all buckets; infinity where there is none."""
        values: tuple[float, ...] = _ALL.unpack(self.data)
        return min(values)

    def points(self) -> tuple[list[int], list[float]]:
        """Numbers and values of the buckets that have one, oldest first."""
        values = _ALL.unpack(self.data)
        first = self.newest - BUCKETS + 1
        known = [(b, values[b % BUCKETS]) for b in range(first, self.newest + 1) if values[b % BUCKETS] != _NOTHING]
        return [b for b, _ in known], [v for _, v in known]

    def highest_before(self, ts_ms: int) -> float:
        """The largest value of the buckets that ended before ``ts_ms``; minus infinity where there is none."""
        buckets, values = self.points()
        until = ts_ms // self.width_ms
        return max((v for b, v in zip(buckets, values, strict=True) if b < until), default=-math.inf)
