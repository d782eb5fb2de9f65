"""What the detector says: the events on ``lapwing.anomalies.v1``.

Scores share one scale on every host: 0..1 is normal, above 1 is anomalous.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shared.schemas.base import EpochMs, Event, HostId, Name, Wire
from shared.schemas.sample import Process

Score = Annotated[float, Field(ge=0, description="0..1 normal, above 1 anomalous.")]
Severity = Literal["info", "warning", "critical"]
AnomalyState = Literal["open", "update", "close"]


class HostScore(Event):
    """The score of one host sample; ``event_id`` and ``ts`` are the sample's own. Key = ``host_id``."""

    kind: Literal["score"] = "score"
    host_id: HostId
    host: Name
    score: Score
    metrics: Annotated[dict[str, Score], Field(description="Scores of single metrics where they matter.")] = {}
    warming_up: bool = False


class Contribution(Wire):
    """How much one metric has to do with an anomaly."""

    metric: Name
    labels: dict[str, str] = {}
    share: Annotated[float, Field(ge=0, le=1)]
    value: float
    expected_low: float
    expected_high: float


class Anomaly(Event):
    """One episode is one ``anomaly_id``: opened once, updated while it lasts, closed once. Key = ``host_id``."""

    kind: Literal["anomaly"] = "anomaly"
    anomaly_id: Annotated[str, Field(min_length=1, max_length=128)]
    host_id: HostId
    host: Name
    labels: dict[str, str] = {}
    state: AnomalyState
    finding: Annotated[str, Field(max_length=64, description="What kind of anomaly: unusual, cpu_overload …")] = (
        "unusual"
    )
    severity: Severity = "warning"
    score: Score
    peak_score: Score
    started_at: EpochMs
    ended_at: EpochMs | None = None
    summary: Annotated[str, Field(max_length=1024)] = ""
    contributions: list[Contribution] = []
    top_processes: list[Process] = []
    evidence: dict[str, str] = {}
