"""What people say of anomalies, on its way to the detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from uuid import uuid4

from services.api.decisions import Decisions
from shared.runtime import times
from shared.schemas.control import Feedback, Meant

MOST_METRICS = 32


def key(anomaly_id: str) -> str:
    return f"feedback:{anomaly_id}"


async def give(
    decisions: Decisions,
    anomaly: Mapping[str, Any],
    verdict: Literal["normal", "real"],
    author: str,
    note: str,
    now_ms: int,
) -> dict[str, Any]:
    """Of an anomaly as it is listed, with the values its metrics had. Raises ``ApiError`` 503."""
    event = Feedback(
        event_id=str(uuid4()),
        ts=now_ms,
        id=anomaly["id"],
        host_id=anomaly["host_id"],
        verdict=verdict,
        author=author,
        note=note,
        metrics=[_meant(c) for c in anomaly["contributions"][:MOST_METRICS]],
    )
    await decisions.tell(event)
    return shape(event.model_dump())


def shape(said: Mapping[str, Any]) -> dict[str, Any]:
    return {"verdict": said["verdict"], "author": said["author"], "note": said["note"], "at": times.iso(said["ts"])}


def _meant(contribution: Mapping[str, Any]) -> Meant:
    value, low, high = (float(contribution[name]) for name in ("value", "expected_low", "expected_high"))
    return Meant(
        metric=contribution["metric"], labels=contribution["labels"], low=min(low, value), high=max(high, value)
    )
