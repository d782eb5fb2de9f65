"""``make()`` gives the evaluator a fresh detector: the shipped core in its shipped configuration."""

from __future__ import annotations

from datetime import UTC, datetime

from services.detector.core import HostCore


class Adapter:
    """``score_one`` maps the core's score, 0 and up with 1 as the border, to 0..1 with .5 as the border."""

    threshold = 0.5

    def __init__(self) -> None:
        self._core = HostCore()

    def score_one(self, ts: datetime, values: dict[str, float]) -> float:
        score = self._core.observe(int(ts.replace(tzinfo=UTC).timestamp() * 1000), values).score
        return score / (1.0 + score)


def make() -> Adapter:
    return Adapter()
