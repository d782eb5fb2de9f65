"""How long to wait before what died is started again. Pure; told the times."""

from __future__ import annotations

FIRST = 0.5
MOST = 10.0
CALM = 10.0


class Restarts:
    """At once after a death that comes alone; the pauses grow while deaths follow each other."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def pause(self, lived: float) -> float:
        """Seconds to wait after a death. ``lived``: seconds it had been ready before it, 0 if it never was."""
        self._in_a_row = 1 if lived >= CALM else self._in_a_row + 1
        # Killed while at work it may well work again; what died while starting is given a moment.
        return 0.0 if self._in_a_row == 1 and lived > 0 else min(MOST, FIRST * 2.0 ** (self._in_a_row - 1))
