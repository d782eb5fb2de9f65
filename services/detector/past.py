"""What this host has been through: the last anomalies that are over, so that a new one can say when it was like that
before. Pure; event time only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from services.detector.findings.words import span
from shared.schemas.anomaly import Anomaly

KEPT = 32
"""Of a host; the oldest gives way."""
NAMED = 3


class Over(msgspec.Struct, array_like=True, gc=False):
    about: str
    started_at: int
    ended_at: int


class Past:
    def __init__(self) -> None:
        self._hosts: dict[str, deque[Over]] = {}

    def closed(self, anomaly: Anomaly) -> None:
        over = Over(_about(anomaly), anomaly.started_at, anomaly.ended_at or anomaly.ts)
        self._hosts.setdefault(anomaly.host_id, deque(maxlen=KEPT)).append(over)

    def before(self, anomaly: Anomaly) -> str:
        """``3 times, last 2027-01-15 08:00 for 5 min, …`` of those that were about the same; empty where none was."""
        about = _about(anomaly)
        similar = [o for o in self._hosts.get(anomaly.host_id, ()) if o.about == about]
        if not similar:
            return ""
        last = ", ".join(_when(o) for o in reversed(similar[-NAMED:]))
        return f"{len(similar)} times, last {last}" if len(similar) > 1 else f"once, {last}"

    def forget(self, host_id: str) -> None:
        self._hosts.pop(host_id, None)

    def state(self, host_id: str) -> list[Any]:
        return [[o.about, o.started_at, o.ended_at] for o in self._hosts.get(host_id, ())]

    def restore(self, host_id: str, state: Sequence[Sequence[Any]]) -> None:
        """Raises ``ValueError`` or ``TypeError`` on what is no state."""
        some = deque((Over(str(about), int(start), int(end)) for about, start, end in state), maxlen=KEPT)
        if some:
            self._hosts[host_id] = some
        else:
            self.forget(host_id)


def _about(anomaly: Anomaly) -> str:
    """What makes two anomalies similar: the finding, and the metric that is named first."""
    main = anomaly.contributions[0] if anomaly.contributions else None
    labels: Mapping[str, str] = main.labels if main else {}
    return " ".join([anomaly.finding, main.metric if main else "", *(f"{k}={v}" for k, v in sorted(labels.items()))])


def _when(over: Over) -> str:
    lasted = span(max(0, over.ended_at - over.started_at))
    return f"{datetime.fromtimestamp(over.started_at / 1000, UTC):%Y-%m-%d %H:%M} for {lasted}"
