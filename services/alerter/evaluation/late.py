"""How old is what we judge: whether our own part of the road is behind. Pure, with the time given."""

from __future__ import annotations

OWN_HOST = "lapwing"
"""``host_id`` of alerts about the monitoring itself."""

IDLE_S = 60.0
"""While a group forms anew nobody has partitions; who has none for longer has nothing to be late with."""


class Lateness:
    """Seconds are the monotonic clock's."""

    def __init__(self) -> None:
        self._heard: float | None = None
        self._answered = 0.0
        self._idle_since: float | None = None

    def answered(self, now: float, until: float | None, *, assigned: bool = True) -> None:
        """The broker answered at ``now``: everything up to ``until`` has been judged, where that can be said."""
        if not assigned:
            self._idle_since = now if self._idle_since is None else self._idle_since
            if now - self._idle_since >= IDLE_S:
                self._heard = self._answered = now
            return
        self._idle_since = None
        self._heard = now if self._heard is None else self._heard
        self._answered = now
        if until is not None:
            self._heard = max(self._heard, until)

    def deaf(self) -> None:
        """The broker is away: then we are not late, and say so elsewhere. What comes afterwards counts from then."""
        self._heard = None

    @property
    def seconds(self) -> float | None:
        """Age of what is being judged, as of the last answer; ``None`` where that cannot be said."""
        return None if self._heard is None else max(0.0, self._answered - self._heard)
