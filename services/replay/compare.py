"""What one detector says and another does not. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.replay.run import Episode

NAMELESS = "unusual"
NEAR_MS = 60_000
"""Episodes of a host that are no further apart are about the same thing."""


@dataclass(frozen=True)
class Comparison:
    """``kept``: the later detector's word for what both found."""

    before: Sequence[Episode]
    after: Sequence[Episode]
    kept: Sequence[Episode]
    gained: Sequence[Episode]
    lost: Sequence[Episode]


def compare(before: Sequence[Episode], after: Sequence[Episode]) -> Comparison:
    kept = [e for e in after if any(_same(e, other) for other in before)]
    return Comparison(
        before,
        after,
        kept,
        gained=[e for e in after if e not in kept],
        lost=[e for e in before if not any(_same(e, other) for other in after)],
    )


def _same(one: Episode, other: Episode) -> bool:
    # What has no name may be what the other has a name for.
    about = one.finding == other.finding or NAMELESS in (one.finding, other.finding)
    return about and one.host_id == other.host_id and _begins_before_end(one, other) and _begins_before_end(other, one)


def _begins_before_end(one: Episode, other: Episode) -> bool:
    return other.ended_ms is None or one.started_ms <= other.ended_ms + NEAR_MS


def by_finding(compared: Comparison) -> dict[str, tuple[int, int, int, int]]:
    """Of each kind how many there were before and after, were gained and lost; the most frequent first."""
    sides = (compared.before, compared.after, compared.gained, compared.lost)
    counts = [Counter(e.finding for e in side) for side in sides]
    kinds = sorted(counts[0] + counts[1], key=lambda kind: (-(counts[0] + counts[1])[kind], kind))
    return {kind: (counts[0][kind], counts[1][kind], counts[2][kind], counts[3][kind]) for kind in kinds}


def a_week(episodes: Sequence[Episode], host_days: float) -> float:
    """Episodes a host and week."""
    return len(episodes) / host_days * 7 if host_days else 0.0
