"""``/api/auth/…`` for everybody: log in, log out, who am I, a new password of my own."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.api import messages, shapes
from services.api.ask import Ask
from services.api.auth.attempts import Attempt
from services.api.auth.gate import COOKIE
from services.api.auth.passwords import LONGEST, SHORTEST
from services.api.auth.principal import Principal
from services.api.errors import ApiError, forbidden, too_many, unauthorized
from services.api.responses import ok
from services.api.route import Route
from shared.runtime import selfmetrics, times

Password = Annotated[str, Field(min_length=SHORTEST, max_length=LONGEST)]


class Credentials(BaseModel):
    """``cookie``: also set the dashboard's session cookie."""

    model_config = ConfigDict(extra="forbid", strict=True)

    username: Annotated[str, Field(max_length=256)]
    password: Annotated[str, Field(max_length=LONGEST)]
    cookie: bool = False


class LogoutChoice(BaseModel):
    """``everywhere``: all logins of this user."""

    model_config = ConfigDict(extra="forbid", strict=True)

    everywhere: bool = False


class PasswordChange(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    old_password: Annotated[str, Field(max_length=LONGEST)]
    new_password: Password


async def login(ask: Ask) -> Response:
    ask.query()
    given = await ask.body(Credentials)
    if given.cookie and ask.header(b"sec-fetch-site") in ("cross-site", "same-site"):
        raise forbidden(messages.CROSS_SITE)
    attempt = _begun(ask, given.username)
    try:
        login = await ask.deps.accounts.login(given.username, given.password)
    except ApiError as error:
        selfmetrics.API_LOGINS.add(1, "refused" if error.status == 401 else "failed")
        raise
    ask.deps.logins.succeeded(attempt)
    selfmetrics.API_LOGINS.add(1, "accepted")
    answer = ok({"access_token": login.token, "token_type": "bearer", "expires_in": login.expires_in}, ask.language)
    if given.cookie:
        secure = ask.scope.get("scheme") == "https"
        answer.set_cookie(
            COOKIE, login.token, max_age=login.expires_in, path="/", httponly=True, samesite="strict", secure=secure
        )
    return answer


def _begun(ask: Ask, username: str) -> Attempt:
    """Raises ``ApiError`` 429 where there were too many wrong ones."""
    attempt = Attempt(username, ask.deps.addresses.of(ask.scope))
    if wait := ask.deps.logins.begin(attempt, ask.deps.clock.monotonic()):
        selfmetrics.API_LOGINS.add(1, "limited")
        raise too_many(messages.LOGIN_LIMITED.of(seconds=wait), wait)
    return attempt


async def logout(ask: Ask) -> Response:
    ask.query()
    principal = _user(ask)
    choice = await ask.body(LogoutChoice) if _has_body(ask) else LogoutChoice()
    if choice.everywhere:
        await ask.deps.accounts.end_sessions(principal.name)
    else:
        await ask.deps.accounts.logout(principal)
    answer = ok(None, ask.language)
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return answer


async def me(ask: Ask) -> Response:
    ask.query()
    principal = ask.principal
    assert principal is not None
    never = principal.expires_ms == Principal.expires_ms
    return ok(
        {
            "kind": principal.kind,
            "name": principal.name,
            "role": principal.role,
            "permissions": sorted(principal.permissions),
            "expires_at": None if never else times.iso(principal.expires_ms),
            "csrf_token": ask.deps.accounts.csrf(principal.session_id) if principal.session_id else None,
        },
        ask.language,
    )


async def change_password(ask: Ask) -> Response:
    ask.query()
    principal = _user(ask)
    given = await ask.body(PasswordChange)
    attempt = _begun(ask, principal.name)
    if not await ask.deps.accounts.check_password(principal.name, given.old_password):
        raise unauthorized(messages.WRONG_OLD_PASSWORD)
    ask.deps.logins.succeeded(attempt)
    await ask.deps.accounts.change_user(principal.name, password=given.new_password)
    return ok(None, ask.language)


def _user(ask: Ask) -> Principal:
    if ask.principal is None or ask.principal.kind != "user":
        raise forbidden(messages.NOT_A_USER)
    return ask.principal


def _has_body(ask: Ask) -> bool:
    return ask.header(b"content-length") not in ("", "0") or bool(ask.header(b"transfer-encoding"))


ROUTES = [
    Route(
        "POST",
        "/api/auth/login/",
        login,
        None,
        "Log in",
        "auth",
        data=shapes.LoginAnswer,
        example={"access_token": "eyJhbGciOiJIUzI1NiJ9.…", "token_type": "bearer", "expires_in": 43200},
        body=Credentials,
        body_example={"username": "admin", "password": "correct horse battery staple"},
        description="`cookie: true` also sets the session cookie; writes it authorises need the header `X-CSRF-Token` "
        "with the `csrf_token` of `GET /api/auth/me/`.",
        refusals=(401, 429, 503),
    ),
    Route(
        "POST",
        "/api/auth/logout/",
        logout,
        "read",
        "End this login, or all of mine",
        "auth",
        data=None,
        body=LogoutChoice,
        body_example={"everywhere": False},
        refusals=(503,),
    ),
    Route(
        "GET",
        "/api/auth/me/",
        me,
        "read",
        "Who am I",
        "auth",
        data=shapes.Me,
        example={
            "kind": "user",
            "name": "admin",
            "role": "admin",
            "permissions": ["act", "admin", "read"],
            "expires_at": "2026-02-01T12:00:00Z",
            "csrf_token": "5f3a…",
        },
    ),
    Route(
        "POST",
        "/api/auth/password/",
        change_password,
        "read",
        "Change my password; ends all my logins",
        "auth",
        data=None,
        body=PasswordChange,
        body_example={"old_password": "correct horse", "new_password": "battery staple"},
        refusals=(429, 503),
    ),
]
