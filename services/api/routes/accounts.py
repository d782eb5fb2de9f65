"""``/api/auth/users/`` and ``/api/auth/tokens/``: for admins, and what ``lapwing user`` and ``lapwing token`` call."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.api import messages, shapes
from services.api.ask import Ask
from services.api.auth.accounts import USERNAME
from services.api.errors import bad_parameter
from services.api.responses import ok
from services.api.route import Route
from services.api.routes.session import Password
from shared.schemas.base import HostId

Role = Literal["viewer", "operator", "admin"]
_DAY_MS = 86_400_000


class NewUser(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    username: Annotated[str, Field(pattern=f"^{USERNAME.pattern}$")]
    password: Password
    role: Role = "viewer"


class UserChange(BaseModel):
    """What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    password: Password | None = None
    role: Role | None = None
    disabled: bool | None = None


class TokenWish(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=128)]
    scopes: Annotated[list[Literal["read", "act", "admin", "ingest"]], Field(min_length=1, max_length=4)] = ["read"]
    expires_in_days: Annotated[float, Field(gt=0, le=36_500)] | None = 365
    host: HostId | None = None


async def users(ask: Ask) -> Response:
    ask.query()
    return ok([u.shown() for u in ask.deps.accounts.users()], ask.language)


async def add_user(ask: Ask) -> Response:
    ask.query()
    wish = await ask.body(NewUser)
    user = await ask.deps.accounts.add_user(wish.username, wish.password, wish.role)
    return ok(user.shown(), ask.language)


async def change_user(ask: Ask) -> Response:
    ask.query()
    change = await ask.body(UserChange)
    user = await ask.deps.accounts.change_user(
        ask.path("name"), password=change.password, role=change.role, disabled=change.disabled
    )
    return ok(user.shown(), ask.language)


async def tokens(ask: Ask) -> Response:
    ask.query()
    return ok([t.shown(ask.now_ms) for t in ask.deps.accounts.tokens()], ask.language)


async def create_token(ask: Ask) -> Response:
    ask.query()
    wish = await ask.body(TokenWish)
    if wish.host and wish.scopes != ["ingest"]:
        raise bad_parameter("host", messages.HOST_BOUND_SCOPE)
    expires = None if wish.expires_in_days is None else ask.now_ms + round(wish.expires_in_days * _DAY_MS)
    by = ask.principal.shown if ask.principal else ""
    record, token = await ask.deps.accounts.create_token(wish.name, tuple(wish.scopes), by, expires, wish.host)
    return ok(record.shown(ask.now_ms) | {"token": token}, ask.language)


async def revoke_token(ask: Ask) -> Response:
    ask.query()
    record = await ask.deps.accounts.revoke_token(ask.path("id"))
    return ok(record.shown(ask.now_ms), ask.language)


_USER = {"username": "alice", "role": "viewer", "disabled": False, "created_at": "2026-02-01T12:00:00Z"}
_TOKEN = {
    "id": "0f1e2d3c4b5a6978",
    "name": "grafana",
    "scopes": ["read"],
    "host": None,
    "created_by": "admin",
    "created_at": "2026-02-01T12:00:00Z",
    "expires_at": "2027-02-01T12:00:00Z",
    "status": "active",
}

ROUTES = [
    Route("GET", "/api/auth/users/", users, "admin", "Users", "accounts", data=list[shapes.UserShape], example=[_USER]),
    Route(
        "POST",
        "/api/auth/users/",
        add_user,
        "admin",
        "Add a user",
        "accounts",
        data=shapes.UserShape,
        example=_USER,
        body=NewUser,
        body_example={"username": "alice", "password": "correct horse", "role": "viewer"},
        refusals=(409, 503),
    ),
    Route(
        "PATCH",
        "/api/auth/users/{name}/",
        change_user,
        "admin",
        "Change a user's role or password, disable or enable them",
        "accounts",
        data=shapes.UserShape,
        example=_USER,
        body=UserChange,
        body_example={"disabled": True},
        description="A new password and disabling end the user's logins.",
        refusals=(404, 409, 503),
    ),
    Route(
        "GET",
        "/api/auth/tokens/",
        tokens,
        "admin",
        "API tokens",
        "accounts",
        data=list[shapes.TokenShape],
        example=[_TOKEN],
    ),
    Route(
        "POST",
        "/api/auth/tokens/",
        create_token,
        "admin",
        "Create an API token; it is shown this once",
        "accounts",
        data=shapes.NewToken,
        example=_TOKEN | {"token": "lw_0f1e2d3c4b5a6978_…"},
        body=TokenWish,
        body_example={"name": "grafana", "scopes": ["read"], "expires_in_days": 365},
        description="With `host` (its id) a token of the scope `ingest` may hand in that host's events only.",
        refusals=(503,),
    ),
    Route(
        "DELETE",
        "/api/auth/tokens/{id}/",
        revoke_token,
        "admin",
        "Revoke an API token",
        "accounts",
        data=shapes.TokenShape,
        example=_TOKEN | {"status": "revoked"},
        refusals=(404, 503),
    ),
]
