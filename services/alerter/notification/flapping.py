"""Alerts that cannot make up their mind: said once, then left alone until they have been still for a while."""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from services.alerter.routing.plan import Flapping

MOST = 100_000


@dataclass(slots=True)
class _Record:
    fires: deque[int]
    changed: int
    told: set[str] = field(default_factory=set)
    """Receivers who were told that it flaps."""
    ends: int | None = None
    """When it is to be looked at whether it is still; ``None`` where nobody waits for that."""


class Flaps:
    """By fingerprint. Times are those of the alerts' events."""

    def __init__(self, limits: Flapping) -> None:
        self._limits = limits
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._flapping: dict[str, None] = {}
        self._ends: list[tuple[int, str]] = []
        """Heap: one entry counts of each record, which knows its time; others are passed over."""

    def adopt(self, limits: Flapping) -> None:
        self._limits = limits
        for record in self._records.values():
            record.fires = deque(record.fires, maxlen=limits.times)

    def fired(self, fingerprint: str, at: int) -> None:
        record = self._records.get(fingerprint)
        if record is None or at - record.changed >= self._limits.within_ms:
            record = self._records[fingerprint] = _Record(deque(maxlen=self._limits.times), at)
            self._flapping.pop(fingerprint, None)
        self._records.move_to_end(fingerprint)
        record.fires.append(at)
        record.changed = max(record.changed, at)
        if len(record.fires) == self._limits.times and record.fires[-1] - record.fires[0] <= self._limits.within_ms:
            self._flapping[fingerprint] = None
            self._end_later(fingerprint)
        while len(self._records) > MOST:
            self._flapping.pop(self._records.popitem(last=False)[0], None)

    def ended(self, fingerprint: str, at: int) -> None:
        if record := self._records.get(fingerprint):
            record.changed = max(record.changed, at)

    def believe(self, fingerprint: str, now: int) -> None:
        """A host's clock that is ahead of ours keeps nobody quiet for longer."""
        record = self._records.get(fingerprint)
        if record and record.changed > now:
            record.changed = now
            record.fires = deque((min(at, now) for at in record.fires), maxlen=self._limits.times)
            if fingerprint in self._flapping:
                self._end_later(fingerprint)

    def told(self, fingerprint: str, receiver: str) -> None:
        if record := self._records.get(fingerprint):
            record.told.add(receiver)

    def flapping(self, fingerprint: str) -> bool:
        return fingerprint in self._flapping

    def knows(self, fingerprint: str, receiver: str) -> bool:
        """Whether the receiver was told that it flaps, and it still does."""
        return fingerprint in self._flapping and receiver in self._records[fingerprint].told

    def fires(self, fingerprint: str) -> int:
        record = self._records.get(fingerprint)
        return len(record.fires) if record else 0

    def turn(self, now: int) -> list[str]:
        """Those that have now been still for long enough."""
        calm = []
        while self._ends and self._ends[0][0] <= now:
            at, fingerprint = heapq.heappop(self._ends)
            record = self._records.get(fingerprint)
            if record is None or record.ends != at:
                continue
            record.ends = None
            if fingerprint not in self._flapping:
                continue
            if now - record.changed < self._limits.within_ms:
                self._end_later(fingerprint)
                continue
            calm.append(fingerprint)
            del self._flapping[fingerprint]
            del self._records[fingerprint]
        return calm

    def next_turn(self) -> int | None:
        """Not later than the next one is still."""
        return self._ends[0][0] if self._ends else None

    def _end_later(self, fingerprint: str) -> None:
        """Looked at too early, it is put off: so one that goes on flapping waits once, however often it fires."""
        record = self._records[fingerprint]
        at = record.changed + self._limits.within_ms
        if record.ends is None or at < record.ends:
            record.ends = at
            heapq.heappush(self._ends, (at, fingerprint))
