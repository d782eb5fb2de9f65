"""``/api/system/silences/``: what nobody wants to be told of for a while."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.api import listings, matchers, messages, parameters, shapes, silences
from services.api.ask import Ask
from services.api.durations import Lasting, When
from services.api.errors import conflict, unprocessable
from services.api.matchers import Matchers
from services.api.responses import ok
from services.api.route import Route

STATE = listings.choices("state", "State.", silences.STATES)
LIMIT = parameters.whole_number("limit", "At most so many.", 1, 2000, 500)


class SilenceBody(BaseModel):
    """From ``starts_at`` (now) until ``ends_at``, or for ``duration``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    matchers: Matchers
    starts_at: When | None = None
    ends_at: When | None = None
    duration: Lasting | None = None
    comment: Annotated[str, Field(max_length=4096)] = ""


async def listed(ask: Ask) -> Response:
    values = ask.query(STATE, LIMIT)
    wanted = values[STATE] or silences.STATES
    found = [silences.shape(s, ask.now_ms) for s in await silences.listed(ask.deps.decisions, ask.now_ms)]
    return ok([s for s in found if s["state"] in wanted][: values[LIMIT]], ask.language)


async def one(ask: Ask) -> Response:
    ask.query()
    return ok(silences.shape(await silences.find(ask.deps.decisions, ask.path("id")), ask.now_ms), ask.language)


async def add(ask: Ask) -> Response:
    ask.query()
    body = await ask.body(SilenceBody)
    return await _kept(ask, body, None)


async def change(ask: Ask) -> Response:
    ask.query()
    body = await ask.body(SilenceBody)
    kept = await silences.find(ask.deps.decisions, ask.path("id"))
    if silences.state(kept, ask.now_ms) == "expired":
        raise conflict(messages.SILENCE_IS_OVER.of(id=kept["id"]))
    return await _kept(ask, body, kept)


async def _kept(ask: Ask, body: SilenceBody, before: dict[str, Any] | None) -> Response:
    assert ask.principal is not None
    starts_at = silences.begins(body.starts_at, before, ask.now_ms)
    kept = await silences.keep(
        ask.deps.decisions,
        ask.now_ms,
        matchers=matchers.all_of(body.matchers),
        starts_at=starts_at,
        ends_at=_end(body, starts_at),
        author=ask.principal.shown,
        comment=body.comment,
        silence_id=before["id"] if before else None,
    )
    return ok(silences.shape(kept, ask.now_ms), ask.language)


def _end(body: SilenceBody, starts_at: int) -> int:
    """Raises ``ApiError`` 422."""
    if body.ends_at is not None and body.duration is None:
        return body.ends_at
    if body.ends_at is None and body.duration is not None:
        return starts_at + body.duration
    raise unprocessable(messages.END_OR_DURATION)


async def end(ask: Ask) -> Response:
    ask.query()
    kept = await silences.expire(ask.deps.decisions, ask.path("id"), ask.now_ms)
    return ok(silences.shape(kept, ask.now_ms), ask.language)


SILENCE_EXAMPLE = {
    "id": "6f1c2f0e-6d0b-4c8e-9f4a-0d6c4f3c2b1a",
    "state": "active",
    "matchers": [{"name": "host", "value": "web-.*", "is_regex": True, "is_equal": True}],
    "starts_at": "2026-02-01T12:00:00Z",
    "ends_at": "2026-02-01T14:00:00Z",
    "author": "ada",
    "comment": "moving the racks",
    "updated_at": "2026-02-01T12:00:00Z",
}
_BODY = {"matchers": ['host=~"web-.*"'], "duration": "2h", "comment": "moving the racks"}
_WORDS = (
    '`matchers` are written (`host=~"web-.*"`) or in parts (`name`, `value`, `is_regex`, `is_equal`); all must hold. '
    "Patterns are RE2's and match the whole value. Give `ends_at` or `duration`."
)

ROUTES = [
    Route(
        "GET",
        "/api/system/silences/",
        listed,
        "read",
        "Silences, the active ones first",
        "alerting",
        data=list[shapes.SilenceShape],
        example=[SILENCE_EXAMPLE],
        parameters=(STATE, LIMIT),
        description="Those that are over are listed for five days.",
        refusals=(503,),
    ),
    Route(
        "POST",
        "/api/system/silences/",
        add,
        "act",
        "Silence what is meant for a while",
        "alerting",
        data=shapes.SilenceShape,
        example=SILENCE_EXAMPLE,
        body=SilenceBody,
        body_example=_BODY,
        description=_WORDS,
        refusals=(409, 503),
    ),
    Route(
        "GET",
        "/api/system/silences/{id}/",
        one,
        "read",
        "One silence",
        "alerting",
        data=shapes.SilenceShape,
        example=SILENCE_EXAMPLE,
        refusals=(404, 503),
    ),
    Route(
        "PUT",
        "/api/system/silences/{id}/",
        change,
        "act",
        "Change a silence",
        "alerting",
        data=shapes.SilenceShape,
        example=SILENCE_EXAMPLE,
        body=SilenceBody,
        body_example=_BODY,
        description="In place of what it was; one that is over cannot be changed. " + _WORDS,
        refusals=(404, 409, 503),
    ),
    Route(
        "DELETE",
        "/api/system/silences/{id}/",
        end,
        "act",
        "End a silence now",
        "alerting",
        data=shapes.SilenceShape,
        example=SILENCE_EXAMPLE | {"state": "expired"},
        description="It stays in the list for five days.",
        refusals=(404, 503),
    ),
]
