"""What people said of anomalies: "this was normal", "this was real". Pure.

An opinion is about its host and about the metrics that made the anomaly one, with the values they had. What is mostly
made of metrics that are again where they were called normal is none; of those called real, it counts for more. So is
the same finding about the same part of the host, as long as it is no worse. Of several opinions the newest that fits
holds. Taken back, an opinion leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from services.detector.bank import Verdict
from services.detector.calibration import HIGHEST
from shared.schemas.anomaly import Anomaly, Contribution
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
_FLEETING = frozenset({"pid"})
"""Labels of a finding that are others next time."""

Metric = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True)
class Opinion:
    ts: int
    normal: bool
    ranges: Mapping[Metric, tuple[float, float]]
    finding: str
    labels: Mapping[str, str]

    def fits(self, contribution: Contribution) -> bool:
        low, high = self.ranges.get(_metric(contribution), (1.0, 0.0))
        return low <= contribution.value <= high

    def fits_finding(self, anomaly: Anomaly, labels: Mapping[str, str]) -> bool:
        """The same finding about the same part of the host, and no worse than it was."""
        return (
            anomaly.finding == self.finding
            and all(self.labels.get(name) == value for name, value in labels.items())
            and all(self.fits(c) for c in anomaly.contributions if _metric(c) in self.ranges)
        )


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
        normal = event.verdict == "normal"
        ours[event.id] = Opinion(event.ts, normal, ranges, event.finding, dict(event.labels))
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

    def of_finding(self, anomaly: Anomaly, host: Mapping[str, str]) -> Literal["normal", "real"] | None:
        """What people said of a named finding that is like this one, last. ``host``: the host's own labels, which may
        be others by now.
        """
        if not (ours := self._by_host.get(anomaly.host_id)):
            return None
        labels = {n: v for n, v in anomaly.labels.items() if n not in _FLEETING and host.get(n) != v}
        fitting = [o for o in ours.values() if o.fits_finding(anomaly, labels)]
        if not fitting:
            return None
        return "normal" if max(fitting, key=lambda o: o.ts).normal else "real"


def _metric(contribution: Contribution) -> Metric:
    return contribution.metric, frozenset(contribution.labels.items())


def _widened(low: float, high: float) -> tuple[float, float]:
    more = MARGIN * (high - low)
    return low - more, high + more
