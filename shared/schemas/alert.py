"""What the alerter decided and did: the events on ``lapwing.alerts.v1``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shared.schemas.anomaly import Severity
from shared.schemas.base import Count, EpochMs, Event, HostId, Name

AlertState = Literal["inactive", "pending", "firing", "resolved", "suppressed", "acknowledged", "flapping"]
AttentionState = Literal["active", "suppressed", "acknowledged", "flapping"]
Occasion = Literal["first", "changed", "repeat", "resolved", "worsened", "flapping", "escalation", "digest", "trial"]
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


class Attention(Event):
    """Whether anybody is to be bothered about an alert that fires. Key = ``host_id``.

    ``Alert`` says what is so, by the host's clock; this says what is made of it, by ours: two writers, who never
    overwrite each other. The newest of an ``alert_id`` counts, while the alert fires.
    """

    kind: Literal["attention"] = "attention"
    alert_id: Annotated[str, Field(min_length=1, max_length=128)]
    host_id: HostId
    state: AttentionState
    reason: Annotated[str, Field(max_length=1024)] = ""
    by: Annotated[
        list[str],
        Field(
            max_length=100,
            description="`silence:<id>`, `alert:<alert_id>` that inhibits it, `quiet:<name>`, `user:<name>`.",
        ),
    ] = []
    until: Annotated[EpochMs | None, Field(description="When it ends by itself, where that is known.")] = None


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
    occasion: Occasion = "first"
    group_key: Annotated[str, Field(max_length=4096, description="As Alertmanager writes it.")] = ""
    resolved_ids: Annotated[list[str], Field(description="Those of `alert_ids` that were told as over.")] = []
