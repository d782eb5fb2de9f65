"""Whether something has been so for long enough, and, once it was, whether it has been over for long enough."""

from __future__ import annotations

import msgspec

PATIENCE_MS = 60_000
LONGEST_CADENCE_MS = 660_000


class Hold(msgspec.Struct, gc=False):
    """Times in ms of event time; -1 is never. ``since_ms`` is when the stretch began that is open, or may become so."""

    is_open: bool = False
    since_ms: int = -1
    clear_ms: int = -1
    last_ms: int = -1
    step_ms: int = 0

    def step(self, ts_ms: int, *, enter: bool, stay: bool, after_ms: int, until_ms: int) -> bool:
        """``enter`` for ``after_ms`` opens, not ``stay`` for ``until_ms`` closes; what is between keeps what there is.

        Nobody knows what was in a gap that is long for this cadence: what had begun begins anew, what was open stays.
        """
        gap = ts_ms - self.last_ms if self.last_ms >= 0 else 0
        if gap > (max(PATIENCE_MS, 3 * self.step_ms) if self.step_ms else LONGEST_CADENCE_MS):
            self.clear_ms = -1
            if not self.is_open:
                self.since_ms = -1
        elif gap:
            self.step_ms = gap
        self.last_ms = ts_ms
        if self.is_open:
            if stay or enter:
                self.clear_ms = -1
            elif self.clear_ms < 0:
                self.clear_ms = ts_ms
            if self.clear_ms >= 0 and ts_ms - self.clear_ms >= until_ms:
                self.is_open, self.since_ms, self.clear_ms = False, -1, -1
            return self.is_open
        if enter:
            if self.since_ms < 0:
                self.since_ms = ts_ms
            self.is_open = ts_ms - self.since_ms >= after_ms
        elif not stay:
            self.since_ms = -1
        return self.is_open
