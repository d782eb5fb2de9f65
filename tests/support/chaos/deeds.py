"""What is done to the product, and when: decided by a seed alone, so that a run can be repeated."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

KILL, STOP, RESTART, MORE, FEWER, FILL = "kill -9", "SIGSTOP", "restart", "scale up", "scale down", "fill"
JAVA, EVERYTHING, DISK = "kafka's java", "everything", "the disk"


@dataclass(frozen=True)
class Deed:
    """``at``: seconds since the beginning. ``lasts``: a SIGSTOP until SIGCONT, a full disk until it has room."""

    at: float
    kind: str
    target: str
    lasts: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind} {self.target}" + (f" for {self.lasts:.1f} s" if self.lasts else "")


Card = tuple[str, str, tuple[float, float]]

# The longest SIGSTOPs are longer than a member of a group may be silent (10 s), so that it comes back a stranger.
DECK: tuple[Card, ...] = (
    (KILL, "ingest", (0, 0)),
    (KILL, "store", (0, 0)),
    (KILL, "broker", (0, 0)),
    (KILL, JAVA, (0, 0)),
    (KILL, "api", (0, 0)),
    (KILL, "agent", (0, 0)),
    (KILL, "detector", (0, 0)),
    (KILL, "alerter", (0, 0)),
    (KILL, EVERYTHING, (0, 0)),
    (STOP, "ingest", (2, 14)),
    (STOP, "store", (2, 8)),
    (STOP, JAVA, (2, 8)),
    (STOP, "agent", (2, 6)),
    (STOP, "api", (1, 4)),
    (RESTART, "ingest", (0, 0)),
    (RESTART, "store", (0, 0)),
    (RESTART, "api", (0, 0)),
    (RESTART, "broker", (0, 0)),
    (MORE, "ingest", (0, 0)),
    (FEWER, "ingest", (0, 0)),
)

A_FULL_DISK = (FILL, DISK, (4.0, 12.0))
"""For a product on a disk of its own."""


def deeds(
    seed: int, seconds: float, pause: tuple[float, float] = (4.0, 12.0), *, deck: Sequence[Card] = DECK
) -> Iterator[Deed]:
    """Every kind once before any comes again; the last is a kill of ingest, which has to find what it left undone."""
    dice = random.Random(seed)
    at = dice.uniform(*pause)
    left: list[Card] = []
    while at < seconds:
        if not left:
            left = list(deck)
            dice.shuffle(left)
        kind, target, lasts = left.pop()
        yield Deed(round(at, 2), kind, target, round(dice.uniform(*lasts), 1))
        at += dice.uniform(*pause)
    yield Deed(round(seconds, 2), KILL, "ingest")
