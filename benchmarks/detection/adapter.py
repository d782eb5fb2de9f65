"""``make()`` gives the evaluator a fresh detector: the shipped core in its shipped configuration, and the score.
``make_paging()`` gives it the other output, the page decision.
"""

from __future__ import annotations

from datetime import UTC, datetime

from services.detector.core import CoreConfig, HostCore
from services.detector.core.paging import Paging


class Adapter:
    """``score_one`` maps the core's score, 0 and up with 1 as the border, to 0..1 with .5 as the border."""

    threshold = 0.5

    def __init__(self) -> None:
        self._core = HostCore()

    def score_one(self, ts: datetime, values: dict[str, float]) -> float:
        return _bounded(self._core.observe(_ms(ts), values).score)


class PagingAdapter:
    """``score_one`` is how strong the page is that this event is worth, above .5; 0 for what is worth none."""

    threshold = 0.5

    def __init__(self) -> None:
        self._core, self._paging = HostCore(), Paging(CoreConfig())
        self._last_ms: int | None = None

    def score_one(self, ts: datetime, values: dict[str, float]) -> float:
        now_ms = _ms(ts)
        step_s = 0.0 if self._last_ms is None else (now_ms - self._last_ms) / 1000
        self._last_ms = now_ms
        news = self._core.observe(now_ms, values).news
        return _bounded(news) if self._paging.decide(step_s, news) else 0.0


def make() -> Adapter:
    return Adapter()


def make_paging() -> PagingAdapter:
    return PagingAdapter()


def _ms(ts: datetime) -> int:
    return int(ts.replace(tzinfo=UTC).timestamp() * 1000)


def _bounded(score: float) -> float:
    return score / (1.0 + score)
