"""``/api/system/alerts/{id}/``: one alert with its history, and its acknowledgement."""

from __future__ import annotations

from typing import Annotated
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.api import alerts, messages, shapes
from services.api.ask import Ask
from services.api.durations import Lasting
from services.api.errors import conflict, not_found
from services.api.responses import ok
from services.api.route import Route
from services.api.routes.lists import ALERT_EXAMPLE
from services.api.routes.silences import SILENCE_EXAMPLE
from shared.schemas.control import Acknowledgement


class AckBody(BaseModel):
    """``expires_in``: after that long, `30m` or `2h`, it counts no more; without it, it counts until the alert ends."""

    model_config = ConfigDict(extra="forbid", strict=True)

    note: Annotated[str, Field(max_length=4096)] = ""
    expires_in: Lasting | None = None


async def alert(ask: Ask) -> Response:
    ask.query()
    deps = ask.deps
    kept = deps.settings.clickhouse
    found = await alerts.detail(deps.queries, deps.history, deps.decisions, kept, ask.path("id"), ask.now_ms)
    return ok(found, ask.language)


async def acknowledge(ask: Ask) -> Response:
    ask.query()
    wish = await ask.body(AckBody)
    of = await alerts.find(ask.deps.queries, ask.path("id"))
    if of["condition"] not in ("pending", "firing"):
        raise conflict(messages.ALERT_IS_OVER.of(id=of["id"]))
    assert ask.principal is not None
    event = Acknowledgement(
        event_id=str(uuid4()),
        ts=ask.now_ms,
        id=of["id"],
        author=ask.principal.shown,
        note=wish.note,
        expires_at=None if wish.expires_in is None else ask.now_ms + wish.expires_in,
        severity=of["severity"],
        value=of["value"],
    )
    await alerts.acknowledged(ask.deps.queries, ask.deps.decisions, event)
    return ok(alerts.shape_of_ack(event.model_dump()), ask.language)


async def take_ack_back(ask: Ask) -> Response:
    ask.query()
    of = ask.path("id")
    said = await ask.deps.decisions.taken_back(alerts.ack_key(of), not_found(messages.NO_ACK.of(id=of[:128])))
    return ok(alerts.shape_of_ack(said), ask.language)


_ACK = {
    "author": "ada",
    "note": "on it",
    "at": "2026-02-01T12:02:00Z",
    "expires_at": "2026-02-01T14:02:00Z",
    "severity": "warning",
    "value": 98.2,
}
_DETAIL = ALERT_EXAMPLE | {
    "state": "acknowledged",
    "attention_reason": "acknowledged by ada",
    "attention_by": ["user:ada"],
    "attention_until": "2026-02-01T14:02:00Z",
    "transitions": [
        {
            "at": "2026-02-01T12:01:00Z",
            "previous_state": "pending",
            "state": "firing",
            "value": 98.2,
            "reason": "98.2 % is above 90 % for a minute",
        }
    ],
    "attention": [
        {
            "at": "2026-02-01T12:02:00Z",
            "state": "acknowledged",
            "reason": "acknowledged by ada",
            "by": ["user:ada"],
            "until": "2026-02-01T14:02:00Z",
        }
    ],
    "deliveries": [
        {
            "at": "2026-02-01T12:01:00.412Z",
            "notification_id": "0190-7",
            "receiver": "default",
            "channel": "webhook",
            "status": "firing",
            "occasion": "first",
            "attempt": 1,
            "outcome": "delivered",
            "detail": "HTTP 200",
            "next_attempt_at": None,
            "resolved": False,
        }
    ],
    "ack": _ACK,
    "silences": [SILENCE_EXAMPLE],
    "step": 1,
    "tier": "raw",
    "series": [{"metric": "cpu.percent", "labels": {}, "points": [[1769947200000, 99.8]]}],
}

ROUTES = [
    Route(
        "GET",
        "/api/system/alerts/{id}/",
        alert,
        "read",
        "One alert with its history",
        "alerting",
        data=shapes.AlertDetail,
        example=_DETAIL,
        description="`transitions`: what was so; `attention`, the newest first: what was made of it; `deliveries`, the "
        "newest first: every attempt to tell somebody. `ack`: who has taken it on. `silences`: those that are not over "
        "and mean it. `series`: its metric from a while before it began until a while after it ended, or now.",
        refusals=(404, 503),
    ),
    Route(
        "POST",
        "/api/system/alerts/{id}/ack/",
        acknowledge,
        "act",
        "Acknowledge an alert",
        "alerting",
        data=shapes.AckShape,
        example=_ACK,
        body=AckBody,
        body_example={"note": "on it", "expires_in": "2h"},
        description="Nobody is told of it again until it ends, gets more severe or worse, or the acknowledgement "
        "expires. The newest one counts. One that has ended cannot be acknowledged.",
        refusals=(404, 409, 503),
    ),
    Route(
        "DELETE",
        "/api/system/alerts/{id}/ack/",
        take_ack_back,
        "act",
        "Take an acknowledgement back",
        "alerting",
        data=shapes.AckShape,
        example=_ACK,
        refusals=(404, 503),
    ),
]
