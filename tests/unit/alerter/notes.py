"""Notifications to deliver."""

from __future__ import annotations

from typing import Any

from services.alerter.notification.notification import Notification
from shared.schemas.alert import Alert
from tests.unit.alerter.support import alert


def note(
    *firing: Alert, resolved: tuple[Alert, ...] = (), receiver: str = "ops", occasion: Any = None, **more: Any
) -> Notification:
    """Of one group; with nothing named, one alert fires."""
    if not firing and not resolved and occasion != "digest":
        firing = (alert("a"),)
    defaults: dict[str, Any] = {
        "receiver": receiver,
        "occasion": occasion or ("first" if firing else "resolved"),
        "group_key": '{}:{alertname="cpu_busy"}',
        "group_labels": {"alertname": "cpu_busy"},
        "firing": firing,
        "resolved": resolved,
        "at": 1_800_000_030_000,
    }
    return Notification(**(defaults | more))
