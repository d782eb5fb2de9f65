"""Alertmanager's webhook body, version 4, so that whatever understands Alertmanager understands us."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from services.alerter.delivery.brevity import clipped
from services.alerter.notification.notification import Notification
from shared.schemas.alert import Alert

NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time: ``endsAt`` while the alert fires."""

MOST_ALERTS = 500
"""What is more is counted in ``truncatedAlerts``; what fires comes first."""

MOST_CHARACTERS = 8192
"""Of one annotation or label."""


def body(notification: Notification, external_url: str) -> dict[str, Any]:
    firing = notification.firing[:MOST_ALERTS]
    resolved = notification.resolved[: MOST_ALERTS - len(firing)]
    alerts = [_alert(a, external_url, ended=False) for a in firing]
    alerts += [_alert(a, external_url, ended=True) for a in resolved]
    return {
        "version": "4",
        "groupKey": notification.group_key,
        "truncatedAlerts": len(notification.alerts) - len(alerts),
        "status": notification.status,
        "receiver": notification.receiver,
        "groupLabels": clipped(notification.group_labels, MOST_CHARACTERS),
        "commonLabels": _common([a["labels"] for a in alerts]),
        "commonAnnotations": _common([a["annotations"] for a in alerts]),
        "externalURL": external_url,
        "alerts": alerts,
    }


def dashboard_link(alert: Alert, external_url: str) -> str:
    return f"{external_url.rstrip('/')}/?{urlencode({'host': alert.host_id, 'alert': alert.alert_id})}"


def _alert(alert: Alert, external_url: str, *, ended: bool) -> dict[str, Any]:
    return {
        "status": "resolved" if ended else "firing",
        "labels": clipped(alert.labels, MOST_CHARACTERS),
        "annotations": clipped(alert.annotations, MOST_CHARACTERS),
        "startsAt": rfc3339(alert.started_at),
        "endsAt": rfc3339(alert.ended_at or alert.ts) if ended else NEVER,
        "generatorURL": dashboard_link(alert, external_url),
        "fingerprint": alert.fingerprint[:16],
    }


def _common(maps: Sequence[dict[str, str]]) -> dict[str, str]:
    if not maps:
        return {}
    first, *others = maps
    return {k: v for k, v in first.items() if all(other.get(k) == v for other in others)}


def rfc3339(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
