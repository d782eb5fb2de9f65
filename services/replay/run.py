"""A detector as it would have been: the same models, limits, opinions and judgement, over the past. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from services.detector.detection import Detection
from services.detector.feedback import Opinions
from services.detector.judge import Host
from services.history.stored import Reading
from shared.runtime.settings import DetectorSettings
from shared.schemas.anomaly import Anomaly, Severity

_ORDER = ("info", "warning", "critical")


@dataclass(frozen=True)
class Episode:
    """Epoch milliseconds; ``ended_ms`` is ``None`` for what had not ended."""

    host_id: str
    host: str
    started_ms: int
    ended_ms: int | None
    finding: str
    severity: Severity
    peak_score: float
    summary: str


class Run:
    """``counted_from``: what opens earlier only prepares the models."""

    def __init__(self, settings: DetectorSettings, opinions: Opinions, counted_from_ms: int) -> None:
        self._detection = Detection(settings, opinions)
        self._counted_from_ms = counted_from_ms
        self._found: dict[str, Episode] = {}

    @property
    def episodes(self) -> list[Episode]:
        """In order of time."""
        counted = (e for e in self._found.values() if e.started_ms >= self._counted_from_ms)
        return sorted(counted, key=lambda e: (e.started_ms, e.host_id))

    def take(self, host: Host, readings: Iterable[Reading]) -> None:
        for reading in readings:
            judged = self._detection.observe(host, reading.ts_ms, reading.features)
            for anomaly in judged[1] if judged else ():
                self._told(anomaly)

    def _told(self, anomaly: Anomaly) -> None:
        known = self._found.get(anomaly.anomaly_id)
        ended = anomaly.ended_at if anomaly.state == "close" else None
        if known is None or anomaly.peak_score > known.peak_score:
            known = Episode(
                anomaly.host_id,
                anomaly.host,
                anomaly.started_at,
                ended,
                anomaly.finding,
                anomaly.severity,
                anomaly.peak_score,
                anomaly.summary,
            )
        worse = max(known.severity, anomaly.severity, key=_ORDER.index)
        self._found[anomaly.anomaly_id] = replace(known, ended_ms=ended, severity=worse)
