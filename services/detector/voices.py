"""Two may speak of one thing: the models, and a named finding. Whoever speaks first or louder is heard. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.schemas.anomaly import Anomaly

_LOUDNESS = ("info", "warning", "critical")


class Voices:
    """What is open and told, by host: an anomaly about the same thing on the same host is kept back unless it is more
    severe, and told as opened once the other is over.
    """

    def __init__(self) -> None:
        self._told: dict[str, dict[str, tuple[str, int]]] = {}

    def heard(self, anomaly: Anomaly) -> Anomaly | None:
        """As it is to be told; ``None`` where it is not."""
        told = self._told.setdefault(anomaly.host_id, {})
        about, loud = _about(anomaly), _LOUDNESS.index(anomaly.severity)
        known = anomaly.anomaly_id in told
        if anomaly.state == "close":
            told.pop(anomaly.anomaly_id, None)
            if not told:
                del self._told[anomaly.host_id]
            return anomaly if known else None
        if not known and any(thing == about and least >= loud for thing, least in told.values()):
            return None
        told[anomaly.anomaly_id] = (about, loud)
        return anomaly if known else anomaly.model_copy(update={"state": "open"})

    def state(self, host_id: str) -> dict[str, list[Any]]:
        return {name: list(entry) for name, entry in self._told.get(host_id, {}).items()}

    def restore(self, host_id: str, state: Mapping[str, Any]) -> None:
        """Raises ``ValueError`` or ``TypeError`` on what is no state."""
        told = {str(name): (str(about), int(loud)) for name, (about, loud) in state.items()}
        self._told.pop(host_id, None)
        if told:
            self._told[host_id] = told


def _about(anomaly: Anomaly) -> str:
    labels = anomaly.contributions[0].labels if anomaly.contributions else {}
    return " ".join([anomaly.finding, *(f"{k}={v}" for k, v in sorted(labels.items()))])
