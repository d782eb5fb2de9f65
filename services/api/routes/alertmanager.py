"""``/api/v2/…``: what amtool and Karma need of Alertmanager's API. Plain JSON, as they know it, without an envelope."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from services.api import alertmanager, listings, matchers, messages, parameters, silences
from services.api.ask import Ask
from services.api.durations import When
from services.api.errors import ApiError, unprocessable
from services.api.listings import ALERTS
from services.api.matchers import MatcherBody, all_of
from services.api.parameters import Parameter, Repeated
from services.api.responses import JSON, encoded
from services.api.route import Answer, Route
from shared.alerting.expressions import problem
from shared.schemas.refusals import reason

MOST_ALERTS = 10_000
_TRUTHS = ("true", "false")


def _pattern(text: str, _: int) -> str:
    if not 1 <= len(text) <= 256 or problem(text):
        raise ValueError(text)
    return text


FILTER: Repeated[Any] = Repeated(matchers.parameter("filter", 'A matcher, as `alertname="disk_full"`.'))
ACTIVE, SILENCED, INHIBITED, UNPROCESSED = (
    parameters.one_of(name, f"Whether to show {name} ones.", _TRUTHS, "true")
    for name in ("active", "silenced", "inhibited", "unprocessed")
)
RECEIVER: Parameter[str | None] = Parameter(
    "receiver", "A pattern for receivers' names.", messages.PATTERN, _pattern, default=None, schema={"type": "string"}
)
SHOWN = (FILTER, ACTIVE, SILENCED, INHIBITED, UNPROCESSED, RECEIVER)


class TheirMatcher(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    name: str
    value: str
    isRegex: bool = False
    isEqual: bool = True


class TheirSilence(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    id: str | None = None
    matchers: Annotated[list[TheirMatcher], Field(min_length=1, max_length=matchers.MOST)]
    startsAt: When
    endsAt: When
    createdBy: Annotated[str, Field(max_length=128)] = ""
    comment: Annotated[str, Field(max_length=4096)] = ""


def _plain(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(encoded(data), status_code=status, media_type=JSON, headers=headers)


async def status(ask: Ask) -> Response:
    ask.query()
    return _plain(alertmanager.status(ask.deps.told.setup, ask.deps.started_ms))


async def receivers(ask: Ask) -> Response:
    ask.query()
    return _plain([{"name": name} for name in alertmanager.receivers(ask.deps.told.setup)])


async def alerts(ask: Ask) -> Response:
    return _plain(await _shown(ask))


async def groups(ask: Ask) -> Response:
    return _plain(alertmanager.groups(await _shown(ask), ask.deps.told.setup))


async def _shown(ask: Ask) -> list[dict[str, Any]]:
    values = ask.query(*SHOWN)
    filters = values[FILTER]
    firing = await listings.newest(ask.deps.queries, ALERTS, ["condition = 'firing'"], {}, MOST_ALERTS)
    return alertmanager.wanted(
        alertmanager.alerts(firing, ask.deps.told.setup, ask.now_ms),
        filters=filters,
        active=values[ACTIVE] == "true",
        silenced=values[SILENCED] == "true",
        inhibited=values[INHIBITED] == "true",
        receiver=values[RECEIVER],
    )


async def refuse_alerts(ask: Ask) -> Response:
    raise ApiError(400, messages.NO_ALERTS_FROM_OUTSIDE)


async def all_silences(ask: Ask) -> Response:
    filters = ask.query(FILTER)[FILTER]
    found = await silences.listed(ask.deps.decisions, ask.now_ms)
    return _plain([alertmanager.silence(s, ask.now_ms) for s in found if alertmanager.silence_wanted(s, filters)])


async def add_silence(ask: Ask) -> Response:
    ask.query()
    body = await ask.body(TheirSilence)
    meant = all_of(_ours(index, one) for index, one in enumerate(body.matchers))
    before = await silences.find(ask.deps.decisions, body.id) if body.id else None
    if before and silences.state(before, ask.now_ms) == "expired":
        before = None  # as Alertmanager has it: what is over is left as it was
    kept = await silences.keep(
        ask.deps.decisions,
        ask.now_ms,
        matchers=meant,
        starts_at=silences.begins(body.startsAt, before, ask.now_ms),
        ends_at=body.endsAt,
        author=_author(ask, body.createdBy),
        comment=body.comment,
        silence_id=before["id"] if before else None,
    )
    return _plain({"silenceID": kept["id"]})


def _ours(index: int, one: TheirMatcher) -> MatcherBody:
    try:
        return MatcherBody(name=one.name, value=one.value, is_regex=one.isRegex, is_equal=one.isEqual)
    except ValidationError as error:
        problem = reason(error.errors(include_url=False, include_input=False)[0])
        raise unprocessable(messages.BAD_FIELD.of(name=f"matchers.{index}", problem=problem)) from None


def _author(ask: Ask, said: str) -> str:
    """Who it is, and who they say that they are."""
    assert ask.principal is not None
    who = ask.principal.shown
    return who if said in ("", who) else f"{said} ({who})"


async def one_silence(ask: Ask) -> Response:
    ask.query()
    return _plain(alertmanager.silence(await silences.find(ask.deps.decisions, ask.path("id")), ask.now_ms))


async def end_silence(ask: Ask) -> Response:
    ask.query()
    await silences.expire(ask.deps.decisions, ask.path("id"), ask.now_ms)
    return Response(status_code=200)


_SILENCE_ID = "6f1c2f0e-6d0b-4c8e-9f4a-0d6c4f3c2b1a"
_POSTED = {
    "matchers": [{"name": "host", "value": "web-.*", "isRegex": True, "isEqual": True}],
    "startsAt": "2026-02-01T12:00:00.000Z",
    "endsAt": "2026-02-01T14:00:00.000Z",
    "createdBy": "ada",
    "comment": "moving the racks",
}
_SILENCE = _POSTED | {"id": _SILENCE_ID, "status": {"state": "active"}, "updatedAt": "2026-02-01T12:00:00.000Z"}
_ALERT = {
    "labels": {"alertname": "disk_full", "host": "web-1", "severity": "critical"},
    "annotations": {"summary": "disk / is full on web-1"},
    "startsAt": "2026-02-01T12:00:00.000Z",
    "updatedAt": "2026-02-01T12:00:00.000Z",
    "endsAt": "2026-02-01T12:05:00.000Z",
    "fingerprint": "9f86d081884c7d65",
    "generatorURL": "",
    "receivers": [{"name": "ops"}],
    "status": {"state": "active", "silencedBy": [], "inhibitedBy": []},
}
_GROUP = {"labels": {"alertname": "disk_full"}, "receiver": {"name": "ops"}, "alerts": [_ALERT]}


def _route(method: Any, path: str, answer: Answer, summary: str, example: Any, **more: Any) -> Route:
    needs: Any = "read" if method == "GET" else "act"
    return Route(
        method,
        f"/api/v2/{path}/",
        answer,
        more.pop("needs", needs),
        summary,
        "alertmanager",
        example=example,
        enveloped=False,
        **more,
    )


ROUTES = [
    _route("GET", "status", status, "Version and routing tree", alertmanager.status(None, 0)),
    _route("GET", "receivers", receivers, "Names of receivers", [{"name": "ops"}]),
    _route("GET", "alerts", alerts, "What fires, as Alertmanager says it", [_ALERT], parameters=SHOWN, refusals=(503,)),
    _route("POST", "alerts", refuse_alerts, "Refused: alerts are made by rules", "", needs="read", refusals=(400,)),
    _route("GET", "alerts/groups", groups, "The same in groups", [_GROUP], parameters=SHOWN, refusals=(503,)),
    _route("GET", "silences", all_silences, "Silences", [_SILENCE], parameters=(FILTER,), refusals=(503,)),
    _route(
        "POST",
        "silences",
        add_silence,
        "Add a silence, or change one",
        {"silenceID": _SILENCE_ID},
        body=TheirSilence,
        body_example=_POSTED,
        refusals=(404, 409, 503),
    ),
    _route("GET", "silence/{id}", one_silence, "One silence", _SILENCE, refusals=(404, 503)),
    _route("DELETE", "silence/{id}", end_silence, "End a silence", "", refusals=(404, 503)),
]
