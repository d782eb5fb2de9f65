"""The topics: their names, what is on them, how long the broker keeps it. Key = host id, but for control."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """``retention_bytes`` is per partition; a compacted topic keeps the last value of each key for ever, and the older
    ones until a segment of ``segment_bytes`` (0: as the broker has it) is full.
    """

    name: str
    purpose: str
    retention_ms: int = 24 * 3600 * 1000
    retention_bytes: int = 1 << 30
    compacted: bool = False
    segment_bytes: int = 0

    @property
    def dlq(self) -> Topic:
        """Where messages go that cannot be read, with their reason in the headers."""
        return Topic(f"{self.name}.dlq", f"dead letters of {self.name}", 7 * 24 * 3600 * 1000, 256 << 20)


METRICS = Topic("lapwing.metrics.v1", "host samples (HostSample)")
LOGS = Topic("lapwing.logs.v1", "log lines (LogEvent)")
ANOMALIES = Topic("lapwing.anomalies.v1", "scores and anomalies (HostScore, Anomaly)")
ALERTS = Topic("lapwing.alerts.v1", "alerts and deliveries (Alert, Attention, Delivery)", 7 * 24 * 3600 * 1000)
CONTROL = Topic(
    "lapwing.control.v1",
    "silences, acknowledgements, feedback, the alerter's setup",
    compacted=True,
)
STATES = Topic("lapwing.states.v1", "what the detector knows of each host", compacted=True, segment_bytes=32 << 20)

SPOOLED_HEADER = "lapwing-spooled"
"""On messages of METRICS whose events waited on the agent's disk: they are of the past, not of now."""

EVENT_TOPICS = (METRICS, LOGS, ANOMALIES, ALERTS)
ALL_TOPICS = (*EVENT_TOPICS, *(t.dlq for t in EVENT_TOPICS), CONTROL, STATES)
