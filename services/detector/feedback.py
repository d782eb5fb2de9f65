"""What people said of anomalies: "this was normal", "this was real". Pure.

An opinion is about its host and about the metrics that made the anomaly one, with the values they had. What is mostly
made of metrics that are again where they were called normal is none; of those called real, it counts for more. Of
several opinions about a metric the newest that fits holds. Taken back, an opinion leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.detector.bank import Verdict
from services.detector.calibration import HIGHEST
from shared.schemas.anomaly import Contribution
from shared.schemas.control import Feedback

MOSTLY = 0.75
"""Of all contributions."""
MARGIN = 0.1
"""How much further than the values it had a metric may go, in parts of their range."""
QUIET = 0.7
"""The score of what is normal after all: low enough to end an episode that is open."""
REAL = 1.5
"""Times the score of what is real."""
MOST_A_HOST = 200
"""Opinions; the oldest gives way."""

Metric = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True)
class Opinion:
    ts: int
    normal: bool
    ranges: Mapping[Metric, tuple[float, float]]

    def fits(self, contribution: Contribution) -> bool:
        low, high = self.ranges.get(_metric(contribution), (1.0, 0.0))
        return low <= contribution.value <= high


class Opinions:
    def __init__(self) -> None:
        self._by_host: dict[str, dict[str, Opinion]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_host.values()))

    def take(self, event: Feedback) -> None:
        """Replaces what was said of the same anomaly before."""
        self.forget(event.id)
        ranges = {
            (m.metric, frozenset(m.labels.items())): _widened(min(m.low, m.high), max(m.low, m.high))
            for m in event.metrics
        }
        ours = self._by_host.setdefault(event.host_id, {})
        ours[event.id] = Opinion(event.ts, event.verdict == "normal", ranges)
        if len(ours) > MOST_A_HOST:
            del ours[min(ours, key=lambda name: ours[name].ts)]

    def forget(self, anomaly_id: str) -> None:
        for host_id, ours in list(self._by_host.items()):
            if ours.pop(anomaly_id, None) and not ours:
                del self._by_host[host_id]

    def applied(self, host_id: str, verdict: Verdict) -> Verdict:
        """``verdict`` as people want it on this host."""
        ours = self._by_host.get(host_id)
        if not ours or verdict.score <= 1 or not verdict.contributions:
            return verdict
        newest_first = sorted(ours.values(), key=lambda o: -o.ts)
        normal = real = 0.0
        for contribution in verdict.contributions:
            opinion = next((o for o in newest_first if o.fits(contribution)), None)
            if opinion is not None and opinion.normal:
                normal += contribution.share
            elif opinion is not None:
                real += contribution.share
        mostly = MOSTLY * sum(c.share for c in verdict.contributions)
        if normal and normal >= mostly:
            return replace(verdict, score=QUIET, contributions=())
        if real and real >= mostly:
            score, news = (min(HIGHEST, REAL * s) for s in (verdict.score, verdict.news))
            return replace(verdict, score=score, news=news)
        return verdict


def _metric(contribution: Contribution) -> Metric:
    return contribution.metric, frozenset(contribution.labels.items())


def _widened(low: float, high: float) -> tuple[float, float]:
    more = MARGIN * (high - low)
    return low - more, high + more
