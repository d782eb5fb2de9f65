"""Which alerts need no message because another one says it already: pure."""

from __future__ import annotations

from collections.abc import Iterable

from services.alerter.rules.rule import at_least
from shared.schemas.alert import Alert

FINDING = "finding"
"""Label of what an anomaly was about when it was told; it may change while the anomaly lasts."""

_NOT_THE_SUBJECT = ("alertname", "severity", FINDING)


def inhibitor(alert: Alert, others: Iterable[Alert]) -> Alert | None:
    """The firing alert among ``others`` of the same host that makes ``alert`` superfluous.

    A silent host says more than anything else about it, and the more severe of two rules about the same thing more
    than the other.
    """
    for other in others:
        if other.alert_id == alert.alert_id or other.host_id != alert.host_id:
            continue
        if is_silence(other) and not is_silence(alert):
            return other
        if (
            other.severity != alert.severity
            and at_least(other.severity, alert.severity)
            and _subject(other) == _subject(alert)
        ):
            return other
    return None


def is_silence(alert: Alert) -> bool:
    return alert.labels.get("condition") == "silent"


def _subject(alert: Alert) -> dict[str, str]:
    return {k: v for k, v in alert.labels.items() if k not in _NOT_THE_SUBJECT}
