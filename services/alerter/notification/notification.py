"""A notification: one message to one receiver about alerts of one rule that began, or that ended, together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from shared.schemas.alert import Alert

Status = Literal["firing", "resolved"]

MAX_ALERTS = 1000
"""Of one notification; more become further ones."""


@dataclass(frozen=True, slots=True)
class Notification:
    receiver: str
    status: Status
    rule: str
    severity: str
    alerts: tuple[Alert, ...]

    @property
    def id(self) -> str:
        """The same alerts in the same state make the same id, so that a repeat can be recognised."""
        parts = (self.receiver, self.status, *sorted(a.alert_id for a in self.alerts))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]

    @property
    def group_key(self) -> str:
        """As Alertmanager writes it."""
        return f'{{}}:{{alertname="{self.rule}"}}'

    @property
    def alert_ids(self) -> list[str]:
        return [a.alert_id for a in self.alerts]


def notifications(receiver: str, status: Status, alerts: Sequence[Alert]) -> list[Notification]:
    """About alerts of one rule."""
    return [
        Notification(receiver, status, alerts[0].rule, alerts[0].severity, tuple(alerts[i : i + MAX_ALERTS]))
        for i in range(0, len(alerts), MAX_ALERTS)
    ]
