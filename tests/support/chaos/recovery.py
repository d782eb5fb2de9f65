"""From a deed to resumed progress: something taken after it was over is where it belongs. Pure; told the times."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support.chaos.deeds import Deed


@dataclass
class Recovery:
    """``waiting``: deeds whose harm is not known to be over, by what shows it. A deed that follows before an earlier
    one was recovered from begins the time anew: nobody can tell the two apart.
    """

    waiting: dict[str, tuple[Deed, float]] = field(default_factory=dict)
    known: list[tuple[float, str, Deed]] = field(default_factory=list)

    def done(self, deed: Deed, shown_by: tuple[str, ...], now: float) -> None:
        """A deed that is shown by nothing, or by another thing, still keeps those who wait waiting longer."""
        self.waiting = {name: (earlier, now) for name, (earlier, _) in self.waiting.items()}
        self.waiting |= dict.fromkeys(shown_by, (deed, now))

    def progress(self, shown_by: str, newest: float, now: float) -> None:
        """``newest``: when what was seen there last was taken (wall clock, as ``now``)."""
        if shown_by in self.waiting and newest > self.waiting[shown_by][1]:
            deed, since = self.waiting.pop(shown_by)
            self.known.append((now - since, shown_by, deed))

    @property
    def slowest(self) -> tuple[float, str, Deed] | None:
        return max(self.known, default=None, key=lambda one: one[0])
