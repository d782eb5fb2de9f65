"""What the alerter decided and did: the events on ``lapwing.alerts.v1``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shared.schemas.anomaly import Severity
from shared.schemas.base import Count, EpochMs, Event, HostId, Name

AlertState = Literal["inactive", "pending", "firing", "resolved", "suppressed", "acknowledged", "flapping"]
DeliveryOutcome = Literal["delivered", "temporary_failure", "permanent_failure", "gave_up"]


class Alert(Event):
    """One transition of one alert. ``alert_id`` names the episode, ``fingerprint`` the labels. Key = ``host_id``."""

    kind: Literal["alert"] = "alert"
    alert_id: Annotated[str, Field(min_length=1, max_length=128)]
    fingerprint: Annotated[str, Field(min_length=1, max_length=64)]
    host_id: HostId
    host: Name
    rule: Name
    state: AlertState
    previous_state: AlertState
    severity: Severity
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    value: float | None = None
    threshold: float | None = None
    started_at: EpochMs
    ended_at: EpochMs | None = None
    summary: Annotated[str, Field(max_length=1024)] = ""
    reason: Annotated[str, Field(max_length=1024, description="Why the state changed.")] = ""
    anomaly_id: Annotated[str, Field(max_length=128)] = ""


class Delivery(Event):
    """One attempt to tell somebody. Key = ``host_id`` of the first alert in it."""

    kind: Literal["delivery"] = "delivery"
    notification_id: Annotated[str, Field(min_length=1, max_length=128)]
    host_id: HostId
    receiver: Name
    channel: Name
    status: Literal["firing", "resolved"]
    alert_ids: list[str]
    attempt: Annotated[Count, Field(description="1 is the first.")]
    outcome: DeliveryOutcome
    detail: Annotated[str, Field(max_length=2048)] = ""
    next_attempt_at: EpochMs | None = None
