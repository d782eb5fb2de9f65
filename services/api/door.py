"""What every request passes: who may speak to us, how much, in whose name; and what every answer carries."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from fastapi import FastAPI
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from services.api import messages
from services.api.ask import Ask
from services.api.auth.basic import is_basic
from services.api.auth.principal import LOCAL_ADMIN, Principal
from services.api.deps import Deps
from services.api.errors import ApiError, forbidden, unauthorized, unavailable
from services.api.messages import Language
from services.api.parameters import shortened
from services.api.responses import ALERTMANAGER, failure, refusal
from services.api.route import Route
from shared.runtime import selfmetrics
from shared.runtime.settings import is_loopback

log = logging.getLogger("services.api.access")

LINKS = b"/a/"
PUBLIC = frozenset({"/api/auth/login/"})
INGEST = "/api/ingest/"
ENDLESS = "/api/system/stream/"
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
LINGER = 1.0  # seconds in which a client that sends too much may still read why it is refused
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_API_HEADERS = [
    *_HEADERS,
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"vary", b"Accept-Language"),
]


async def answered(route: Route, scope: Scope, receive: Receive, deps: Deps) -> Response:
    """The answer of ``route``, whatever happens: refusals and accidents become envelopes."""
    ask = Ask(scope, receive, deps, scope.get("lapwing.principal"), scope.get("lapwing.language", "zh"))
    try:
        if route.needs is not None:
            if ask.principal is None:
                raise unauthorized()
            if not ask.principal.may(route.needs):
                raise forbidden(messages.FORBIDDEN.of(needs=route.needs))
        return await route.answer(ask)
    except ApiError as error:
        return refusal(error, ask.language, route.path)
    except ClientDisconnect:
        return failure(400, messages.BAD_REQUEST, ask.language, path=route.path)
    except Exception:
        log.exception("a request failed", extra={"method": route.method, "path": route.path})
        return failure(500, messages.INTERNAL, ask.language, path=route.path)


class Door:
    """The ASGI application. ``fast`` routes are answered here, the rest by the framework."""

    def __init__(self, app: FastAPI, deps: Deps, fast: Mapping[str, Route]) -> None:
        self.app = app
        self._deps = deps
        self._fast = fast

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        visit = _Visit(send)
        scope = dict(scope)
        try:
            await self._let_in(scope, receive, visit.send)
        finally:
            visit.note(scope, time.perf_counter() - began)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        language, host, length = _read(scope)
        scope["lapwing.language"] = language
        path: str = scope["path"]
        path = scope["path"] = _with_its_slash(path)
        if scope["method"] == "HEAD" and path != ENDLESS:
            scope["method"] = "GET"  # the server leaves the body out
        try:
            self._check_host(scope, host)
            if length and not (length.isascii() and length.isdigit()):
                raise ApiError(400, messages.BAD_REQUEST)
            settings = self._deps.settings.api
            most = settings.ingest_max_bytes if path == INGEST else settings.max_body_bytes
            if length and int(length[:15]) > most:
                await _refuse_body(receive, send, language, most, path)
                return
            if path.startswith("/api/"):
                if not self._deps.ready:
                    raise unavailable(messages.STARTING, 1)
                scope["lapwing.principal"] = await self._principal(scope, path)
        except ApiError as error:
            await refusal(error, language, path)(scope, receive, send)
            return
        if path in self._fast and scope["method"] == "GET":
            await (await answered(self._fast[path], scope, receive, self._deps))(scope, receive, send)
        else:
            await self.app(scope, receive if length else _Bounded(receive, most), send)

    def _check_host(self, scope: Scope, host: str) -> None:
        """A browser that was led here under a foreign name (DNS rebinding) must not find an API on loopback."""
        if scope.get("lapwing.local"):
            return
        settings = self._deps.settings.api
        if "*" in settings.allowed_hosts or not (is_loopback(settings.host) or settings.allowed_hosts):
            return
        name = _host_name(host)
        if name in ("localhost", "127.0.0.1", "::1", settings.host) or name in settings.allowed_hosts:
            return
        if name in self._deps.listening:
            return
        raise ApiError(421, messages.MISDIRECTED.of(host=shortened(host)))

    async def _principal(self, scope: Scope, path: str) -> Principal | None:
        if scope.get("lapwing.local"):
            return LOCAL_ADMIN
        if path in PUBLIC:
            return None
        if path.startswith(ALERTMANAGER) and (header := is_basic(scope["headers"])):
            principal = await self._deps.basic.principal(header, self._deps.addresses.of(scope))
        else:
            principal = self._deps.gate.principal(scope["method"], scope["headers"])
        if principal is None:
            raise unauthorized()
        return principal


class _Bounded:
    """A body of unannounced length, read no further than allowed."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._left = most
        self._most = most

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise ApiError(413, messages.TOO_LARGE.of(most=self._most), {"Connection": "close"})
        return message


class _Visit:
    """What is added to the answer, and what is noted of it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._status = 0
        self._stream = False
        self._scope: Scope | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = list(message.get("headers", ()))
            self._stream = any(v.startswith(b"text/event-stream") for k, v in headers if k == b"content-type")
            own_policy = any(k == b"content-security-policy" for k, _ in headers)
            message = {**message, "headers": headers + (_HEADERS if own_policy else _API_HEADERS)}
        await self._send(message)

    def note(self, scope: Scope, seconds: float) -> None:
        selfmetrics.API_REQUESTS.add(1, scope["method"], str(self._status))
        if not self._stream:
            selfmetrics.API_SECONDS.observe(seconds)
        level = logging.DEBUG if scope["path"] in QUIET else logging.INFO
        if log.isEnabledFor(level):
            principal = scope.get("lapwing.principal")
            raw = scope.get("raw_path") or scope["path"].encode()
            if raw.startswith(LINKS):  # who reads the log is not to follow them
                raw = LINKS + b"..."
            log.log(
                level,
                "request",
                extra={
                    "method": scope["method"],
                    "path": raw.decode("latin-1")[:200],
                    "status": self._status,
                    "ms": round(seconds * 1000, 1),
                    "user": principal.shown if principal else "-",
                },
            )


def _read(scope: Scope) -> tuple[Language, str, str]:
    accept, host, length = b"", b"", b""
    for name, value in scope["headers"]:
        if name == b"accept-language":
            accept = value
        elif name == b"host":
            host = value
        elif name == b"content-length":
            length = value
    return messages.language(accept.decode("latin-1")), host.decode("latin-1"), length.decode("latin-1")


def _with_its_slash(path: str) -> str:
    """Every route answers with and without a slash at the end: those of ``/api/`` are kept with one, others without."""
    if path.startswith("/api/"):
        return path if path.endswith("/") else path + "/"
    return path[:-1] if path.endswith("/") and len(path) > 1 else path


def _host_name(host: str) -> str:
    """The name of a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0].lower() if host.count(":") == 1 else host.lower()


async def _refuse_body(receive: Receive, send: Send, language: Language, most: int, path: str) -> None:
    """Says so at once, then listens a moment longer: a connection cut while the client sends loses the answer."""
    answer = failure(413, messages.TOO_LARGE.of(most=most), language, {"Connection": "close"}, path=path)
    await send({"type": "http.response.start", "status": 413, "headers": answer.raw_headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": True})
    try:
        async with asyncio.timeout(LINGER):
            while (message := await receive())["type"] == "http.request" and message.get("more_body"):
                pass
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})
