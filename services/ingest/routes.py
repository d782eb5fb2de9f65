"""Which topic goes into which table, and what may be on it."""

from __future__ import annotations

from dataclasses import dataclass

from shared.schemas.alert import Alert, Attention, Delivery
from shared.schemas.anomaly import Anomaly, HostScore
from shared.schemas.base import Event
from shared.schemas.log import LogEvent
from shared.schemas.sample import HostSample
from shared.schemas.topics import ALERTS, ANOMALIES, LOGS, METRICS, Topic


@dataclass(frozen=True)
class Route:
    """``rolled_up``: the model whose events enter the rollups, and the base table they are computed from.

    ``keep`` is the setting that says for how many days its rows are kept: older events are not worth storing.
    ``ledger``: whether its events are numbered by hosts, and the completeness ledger is kept of them.
    ``seconds`` is the longest its events wait for an insert, where the setting would have them wait longer.
    """

    topic: Topic
    landing: str
    models: tuple[type[Event], ...]
    keep: str
    seconds: float = 60.0
    rolled_up: tuple[type[Event], str] | None = None
    ledger: bool = False


ROUTES = (
    Route(METRICS, "landing_metrics", (HostSample,), "raw_days", rolled_up=(HostSample, "samples"), ledger=True),
    Route(ANOMALIES, "landing_anomalies", (HostScore, Anomaly), "event_days", rolled_up=(HostScore, "scores")),
    Route(ALERTS, "landing_alerts", (Alert, Attention, Delivery), "event_days", seconds=1.0),
    Route(LOGS, "landing_logs", (LogEvent,), "log_days"),
)
