"""Which topic goes into which table, and what may be on it."""

from __future__ import annotations

from dataclasses import dataclass

from shared.schemas.alert import Alert, Delivery
from shared.schemas.anomaly import Anomaly, HostScore
from shared.schemas.base import Event
from shared.schemas.log import LogEvent
from shared.schemas.sample import HostSample
from shared.schemas.topics import ALERTS, ANOMALIES, LOGS, METRICS, Topic


@dataclass(frozen=True)
class Route:
    """``rolled_up``: the model whose events enter the rollups, and the base table they are computed from.

    ``keep`` is the setting that says for how many days its rows are kept: older events are not worth storing.
    """

    topic: Topic
    landing: str
    models: tuple[type[Event], ...]
    keep: str
    rolled_up: tuple[type[Event], str] | None = None


ROUTES = (
    Route(METRICS, "landing_metrics", (HostSample,), "raw_days", (HostSample, "samples")),
    Route(ANOMALIES, "landing_anomalies", (HostScore, Anomaly), "event_days", (HostScore, "scores")),
    Route(ALERTS, "landing_alerts", (Alert, Delivery), "event_days"),
    Route(LOGS, "landing_logs", (LogEvent,), "log_days"),
)
