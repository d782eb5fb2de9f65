"""Silences: what they mean, while they last, to the millisecond."""

from __future__ import annotations

from collections.abc import Mapping

from shared.alerting.matching import matches
from shared.schemas.control import Silence

FORGET_MS = 86_400_000
"""A clock that was ahead for a while must not cost a silence that is not over."""


class Silences:
    """Kept by the first label they name outright, so that a thousand of them about hosts cost an alert nothing."""

    def __init__(self) -> None:
        self._all: dict[str, Silence] = {}
        self._by_label: dict[tuple[str, str], set[str]] = {}
        self._names: dict[str, int] = {}
        self._others: set[str] = set()
        self._turned = -1
        self._next: int | None = None
        """The next beginning or end, or an instant before it."""

    def put(self, silence: Silence) -> None:
        self.drop(silence.id)
        self._all[silence.id] = silence
        self._next = self._soonest()
        label = _label(silence)
        if label:
            self._by_label.setdefault(label, set()).add(silence.id)
            self._names[label[0]] = self._names.get(label[0], 0) + 1
        else:
            self._others.add(silence.id)

    def drop(self, silence_id: str) -> Silence | None:
        silence = self._all.pop(silence_id, None)
        if silence is None:
            return None
        if label := _label(silence):
            self._by_label[label].discard(silence_id)
            if not self._by_label[label]:
                del self._by_label[label]
            self._names[label[0]] -= 1
            if not self._names[label[0]]:
                del self._names[label[0]]
        else:
            self._others.discard(silence_id)
        return silence

    def holding(self, labels: Mapping[str, str], now: int) -> list[Silence]:
        """Those in force over an alert with these labels, by id."""
        if not self._all:
            return []
        ids = set(self._others)
        for name in self._names:
            ids |= self._by_label.get((name, labels.get(name, "")), set())
        found = (self._all[i] for i in sorted(ids))
        return [s for s in found if s.starts_at <= now < s.ends_at and matches(s.matchers, labels)]

    def turn(self, now: int) -> list[Silence]:
        """Those that began or ended since the last time; what has long been over is forgotten."""
        if now < self._turned:  # the clock was set back
            self._turned = now
            self._next = self._soonest()
        if self._next is None or now < self._next:
            return []
        before, self._turned = self._turned, now
        turned = [s for s in self._all.values() if before < s.starts_at <= now or before < s.ends_at <= now]
        for silence in [s for s in self._all.values() if s.ends_at <= now - FORGET_MS]:
            self.drop(silence.id)
        self._next = self._soonest()
        return turned

    def next_turn(self) -> int | None:
        """When one of them begins or ends, or an instant before that."""
        return self._next

    def _soonest(self) -> int | None:
        times = (t for s in self._all.values() for t in (s.starts_at, s.ends_at) if t > self._turned)
        return min(times, default=None)


def _label(silence: Silence) -> tuple[str, str] | None:
    named = next((m for m in silence.matchers if m.is_equal and not m.is_regex and m.value), None)
    return (named.name, named.value) if named else None
