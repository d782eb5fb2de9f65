"""A detector as it would have been: the very same, over the past. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from services.detector.detection import Detection
from shared.schemas.anomaly import Anomaly, Severity
from shared.schemas.sample import HostSample

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

    def __init__(self, detection: Detection, counted_from_ms: int) -> None:
        self._detection = detection
        self._counted_from_ms = counted_from_ms
        self._found: dict[str, Episode] = {}
        self._second = 0

    @property
    def episodes(self) -> list[Episode]:
        """In order of time."""
        counted = (e for e in self._found.values() if e.started_ms >= self._counted_from_ms)
        return sorted(counted, key=lambda e: (e.started_ms, e.host_id))

    def take(self, samples: Iterable[HostSample]) -> None:
        """In order of time, of all hosts."""
        for sample in samples:
            judged = self._detection.observe(sample)
            said = judged[1] if judged else []
            if sample.ts // 1000 != self._second:
                self._second = sample.ts // 1000
                said += self._detection.sweep()
            for anomaly in said:
                self._told(anomaly)

    def _told(self, anomaly: Anomaly) -> None:
        known = self._found.get(anomaly.anomaly_id)
        self._found[anomaly.anomaly_id] = Episode(
            anomaly.host_id,
            anomaly.host,
            anomaly.started_at,
            anomaly.ended_at if anomaly.state == "close" else None,
            anomaly.finding,
            max(known.severity, anomaly.severity, key=_ORDER.index) if known else anomaly.severity,
            anomaly.peak_score,
            anomaly.summary,
        )
