"""``/api/system/receivers/``: who can be told, and whether it works."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.responses import Response

from services.api import messages, receivers, shapes
from services.api.ask import Ask
from services.api.errors import ApiError, bad_parameter, conflict, not_found
from services.api.matchers import AnyMatchers, all_of
from services.api.private_addresses import check_apprise, check_webhook
from services.api.responses import ok
from services.api.route import Route
from shared.runtime import times
from shared.schemas.control import ReceiverEntry, Trial

NAME = r"^[A-Za-z0-9][A-Za-z0-9 ._@\-]{0,63}$"
_ADDRESS = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+\.?[^@\s,;<>\"]*")
_WEB = re.compile(r"https?://[^/\s@]+(?:[/?]\S*)?", re.IGNORECASE)
_ANY_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.\-]*://\S+")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~\-]{1,64}")
_NOT_THEIRS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "x-lapwing-signature"}
)


class ReceiverBody(BaseModel):
    """``target``: a URL, or mail addresses with commas. It is told of what ``matchers`` mean, or of all that fires."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=NAME)]
    channel: Literal["webhook", "email", "apprise"]
    target: Annotated[str, Field(min_length=1, max_length=4096)]
    secret: Annotated[str, Field(max_length=1024)] = ""
    headers: Annotated[dict[str, str], Field(max_length=20)] = {}
    matchers: AnyMatchers = []

    @field_validator("headers")
    @classmethod
    def _plain(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not _HEADER.fullmatch(name) or name.lower() in _NOT_THEIRS:
                raise ValueError("must be names of headers that are neither the protocol's own nor ours")
            if len(value) > 1024 or not value.isascii() or not value.isprintable():
                raise ValueError("must have values of at most 1024 printable ASCII characters")
        return headers


async def listed(ask: Ask) -> Response:
    ask.query()
    return ok(await receivers.listed(ask.deps.told, ask.deps.decisions), ask.language)


async def one(ask: Ask) -> Response:
    ask.query()
    return ok(await receivers.find(ask.deps.told, ask.deps.decisions, ask.path("name")), ask.language)


async def enter(ask: Ask) -> Response:
    ask.query()
    body = await ask.body(ReceiverBody)
    await _check_target(ask, body)
    if body.name in receivers.from_files(ask.deps.told):
        raise conflict(messages.RECEIVER_OF_A_FILE.of(name=body.name))
    others = [kept for kept in await ask.deps.decisions.all_of(receivers.PREFIX) if kept["id"] != body.name]
    if len(others) >= receivers.MOST:
        raise conflict(messages.TOO_MANY_RECEIVERS.of(most=receivers.MOST))
    assert ask.principal is not None
    event = ReceiverEntry(
        event_id=str(uuid4()),
        ts=ask.now_ms,
        id=body.name,
        channel=body.channel,
        target=body.target,
        secret=body.secret,
        headers=body.headers,
        matchers=all_of(body.matchers),
        author=ask.principal.shown,
    )
    await ask.deps.decisions.tell(event)
    return ok(receivers.shape(event.model_dump()), ask.language)


async def _check_target(ask: Ask, body: ReceiverBody) -> None:
    """Raises ``ApiError`` 422."""
    target, private = body.target, ask.deps.settings.alerter.allow_private_receivers
    if not target.isprintable():
        raise bad_parameter("target", messages.A_URL)
    if body.channel == "email":
        if not all(_ADDRESS.fullmatch(address.strip()) for address in target.split(",")):
            raise bad_parameter("target", messages.ADDRESSES)
    elif body.channel == "webhook":
        if not _WEB.fullmatch(target) or not _has_a_place(target):
            raise bad_parameter("target", messages.A_WEB_ADDRESS)
        if not private:
            await check_webhook(target, ask.deps.resolve)
    else:
        if not _ANY_URL.fullmatch(target):
            raise bad_parameter("target", messages.A_URL)
        if not private:
            await check_apprise(target, ask.deps.resolve)


def _has_a_place(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


async def remove(ask: Ask) -> Response:
    ask.query()
    name = ask.path("name")
    kept = await ask.deps.decisions.of(receivers.PREFIX + name)
    if kept is None:
        if name in receivers.from_files(ask.deps.told):
            raise conflict(messages.RECEIVER_OF_A_FILE.of(name=name))
        raise not_found(messages.UNKNOWN_RECEIVER.of(name=name[:80]))
    await ask.deps.decisions.take_back(receivers.PREFIX + name)
    return ok(receivers.shape(kept), ask.language)


async def try_out(ask: Ask) -> Response:
    ask.query()
    deps = ask.deps
    of = await receivers.find(deps.told, deps.decisions, ask.path("name"))
    assert ask.principal is not None
    trial = Trial(
        event_id=str(uuid4()), ts=ask.now_ms, id=str(uuid4()), receiver=of["name"], author=ask.principal.shown
    )
    found: list[dict[str, Any]] = []
    awaited = max(1, len(of["channels"]))
    with deps.told.awaited(trial.id) as answers:
        await deps.decisions.say(trial)
        try:
            async with asyncio.timeout(deps.patience):
                while len(found) < awaited:
                    found.append(_answer(await answers.get()))
        except TimeoutError:
            if not found:
                raise ApiError(504, messages.NO_ANSWER.of(name=of["name"], seconds=round(deps.patience))) from None
        finally:
            await deps.decisions.unsay(f"trial:{trial.id}")
    delivered = len(found) == awaited and all(one["outcome"] == "delivered" for one in found)
    return ok({"receiver": of["name"], "delivered": delivered, "answers": found}, ask.language)


def _answer(event: Any) -> dict[str, Any]:
    return {"channel": event.channel, "outcome": event.outcome, "detail": event.detail, "at": times.iso(event.ts)}


_RECEIVER = {
    "name": "night shift",
    "channels": ["webhook"],
    "target": "https://hooks.example.org/***",
    "source": "api",
    "matchers": [{"name": "severity", "value": "critical", "is_regex": False, "is_equal": True}],
    "signed": True,
    "headers": ["Authorization"],
    "author": "ada",
    "updated_at": "2026-02-01T12:00:00Z",
}

ROUTES = [
    Route(
        "GET",
        "/api/system/receivers/",
        listed,
        "read",
        "Who can be told of alerts",
        "alerting",
        data=list[shapes.ReceiverShape],
        example=[_RECEIVER],
        description="Those of the alerter's settings and files, and those that were entered here (`source` is `api`). "
        "Secrets, and what of an address is as good as one, are never shown.",
        refusals=(503,),
    ),
    Route(
        "POST",
        "/api/system/receivers/",
        enter,
        "act",
        "Enter a receiver, or change one that was entered here",
        "alerting",
        data=shapes.ReceiverShape,
        example=_RECEIVER,
        body=ReceiverBody,
        body_example={
            "name": "night shift",
            "channel": "webhook",
            "target": "https://hooks.example.org/services/T0/B0/x",
            "secret": "…",
            "headers": {"Authorization": "Bearer …"},
            "matchers": ['severity="critical"'],
        },
        description="It is told of everything that its matchers mean. A target may not be at a private address unless "
        "`LAPWING_ALERTER__ALLOW_PRIVATE_RECEIVERS` says so.",
        refusals=(409, 503),
    ),
    Route(
        "GET",
        "/api/system/receivers/{name}/",
        one,
        "read",
        "One receiver",
        "alerting",
        data=shapes.ReceiverShape,
        example=_RECEIVER,
        refusals=(404, 503),
    ),
    Route(
        "DELETE",
        "/api/system/receivers/{name}/",
        remove,
        "act",
        "Remove a receiver that was entered here",
        "alerting",
        data=shapes.ReceiverShape,
        example=_RECEIVER,
        refusals=(404, 409, 503),
    ),
    Route(
        "POST",
        "/api/system/receivers/{name}/test/",
        try_out,
        "act",
        "Tell a receiver something harmless, and say how that ended",
        "alerting",
        data=shapes.TrialShape,
        example={
            "receiver": "night shift",
            "delivered": True,
            "answers": [
                {"channel": "webhook", "outcome": "delivered", "detail": "HTTP 200", "at": "2026-02-01T12:00:00Z"}
            ],
        },
        description="Waits up to 15 s for the alerter's answer: 504 where none came. `answers`: how the first attempt "
        "through each channel ended, in the receiver's own words.",
        refusals=(404, 503, 504),
    ),
]
