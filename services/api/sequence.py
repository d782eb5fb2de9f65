"""How complete a host's data is, told from the gaps in its agent's sequence numbers."""

from __future__ import annotations

WINDOW = 3600  # the last hour at one sample a second


class SequenceWindow:
    """Looks at the last ``WINDOW`` numbers. What arrives late fills its gap again."""

    __slots__ = ("_first", "_highest", "_missing")

    def __init__(self) -> None:
        self._first = -1
        self._highest = -1
        self._missing: set[int] = set()

    def saw(self, seq: int) -> None:
        if self._highest < 0 or seq > self._highest + WINDOW or seq < self._highest - WINDOW:
            # The first event, or an agent that counts anew.
            self._first = self._highest = seq
            self._missing.clear()
        elif seq > self._highest:
            self._missing.update(range(self._highest + 1, seq))
            self._highest = seq
            self._forget()
        else:
            self._missing.discard(seq)

    def completeness(self) -> float | None:
        """Percent of the window's events that arrived; ``None`` before the first."""
        if self._highest < 0:
            return None
        expected = self._highest - max(self._first, self._highest - WINDOW) + 1
        return round(100 * (1 - len(self._missing) / expected), 2)

    def _forget(self) -> None:
        oldest = self._highest - WINDOW
        if self._missing and min(self._missing) < oldest:
            self._missing = {s for s in self._missing if s >= oldest}
