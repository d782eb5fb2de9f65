"""The application: every route, its documentation, and the door in front of it."""

from __future__ import annotations

import asyncio
import re
from functools import cache
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from services.api import messages, shapes
from services.api.deps import Deps
from services.api.door import Door, answered
from services.api.responses import JSON, encoded, failure
from services.api.route import Route
from services.api.routes import (
    accounts,
    alertmanager,
    alerts,
    anomaly,
    dead_letters,
    fleet,
    history,
    ingest,
    links,
    lists,
    operations,
    overload,
    pages,
    receivers,
    routing,
    session,
    silences,
    stream,
    system,
)
from shared.runtime.version import VERSION

ROUTES: tuple[Route, ...] = (
    *system.ROUTES,
    *fleet.ROUTES,
    *history.ROUTES,
    *lists.ROUTES,
    *anomaly.ROUTES,
    *alerts.ROUTES,
    *silences.ROUTES,
    *receivers.ROUTES,
    *routing.ROUTES,
    *stream.ROUTES,
    *overload.ROUTES,
    *ingest.ROUTES,
    *session.ROUTES,
    *accounts.ROUTES,
    *dead_letters.ROUTES,
    *operations.ROUTES,
    *alertmanager.ROUTES,
    *pages.ROUTES,
    *links.ROUTES,
)
_REF = "#/components/schemas/{model}"
_DESCRIPTION = """Every answer under `/api/` but `/api/v2/` is an envelope `{"success", "code", "message", "data"}`,
without `data` on failure; `code` is the HTTP status. Messages are Chinese, or English with `Accept-Language: en`.
Unknown query parameters are refused by name, except those that begin with `_`."""
_REFUSALS = {
    400: messages.CANNOT_UNPACK.of(encoding="zstd"),
    401: messages.UNAUTHORIZED,
    404: messages.UNKNOWN_HOST.of(host="web-9"),
    408: messages.BODY_SLOW,
    409: messages.USER_EXISTS.of(name="alice"),
    413: messages.TOO_LARGE.of(most=1 << 20),
    415: messages.UNKNOWN_ENCODING.of(known="zstd, gzip, identity"),
    422: messages.UNKNOWN_PARAMETER.of(name="colour", known="-"),
    429: messages.LOGIN_LIMITED.of(seconds=12),
    503: messages.STORE_AWAY,
    504: messages.NO_ANSWER.of(name="default", seconds=15),
}


def create_app(deps: Deps) -> Door:
    """An ASGI application. Makes no connection; what it needs is in ``deps``."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    for route in ROUTES:
        app.add_api_route(route.path, _endpoint(route, deps), methods=[route.method], response_model=None)
    app.add_exception_handler(HTTPException, _refused(app))
    app.add_api_route("/openapi.json", _openapi, methods=["GET"])
    return Door(app, deps, {r.path: r for r in ROUTES if r.fast})


def _endpoint(route: Route, deps: Deps) -> Any:
    async def endpoint(request: Request) -> Response:
        return await answered(route, request.scope, request.receive, deps)

    return endpoint


async def _openapi() -> Response:
    # Made at the first request, which takes more than a third of a second: not on the loop.
    return Response(await asyncio.to_thread(_documentation), media_type=JSON)


@cache
def _documentation() -> bytes:
    """By an application of its own, because one that also answers would be long in the making at every start."""
    app = FastAPI(title="Lapwing", version=VERSION, description=_DESCRIPTION)
    for route in ROUTES:
        if route.tag != "pages":
            _document(app, route)
    schema = app.openapi()
    components = schema.setdefault("components", {})
    for route in ROUTES:
        if route.body:
            parts = route.body.model_json_schema(ref_template=_REF).get("$defs", {})
            components.setdefault("schemas", {}).update(parts)
    components.setdefault("securitySchemes", {})["bearer"] = {"type": "http", "scheme": "bearer"}
    return encoded(schema)


def _document(app: FastAPI, route: Route) -> None:
    async def endpoint() -> None: ...

    endpoint.__name__ = f"{route.method.lower()}{route.path.replace('/', '_').rstrip('_')}"
    app.add_api_route(
        route.path,
        endpoint,
        methods=[route.method],
        summary=route.summary,
        description=route.description or None,
        tags=[route.tag],
        response_model=None,
        response_class=Response,
        responses=_answers(route),
        openapi_extra=_extra(route),
    )


def _answers(route: Route) -> dict[int | str, dict[str, Any]]:
    if not route.path.startswith("/api/"):
        return {200: {"content": {route.media_type: {"example": route.example}}}}
    if not route.enveloped:
        said: dict[int | str, dict[str, Any]]
        said = {code: {"description": _refusal(route, code).en} for code in sorted({401, 403, 422, *route.refusals})}
        said[400] = said.get(400, said.pop(422))
        return {200: {"description": "Success", "content": {JSON: {"example": route.example}}}, **said}
    if route.media_type != "application/json":
        success: dict[str, Any] = {"content": {route.media_type: {"example": route.example}}}
    else:
        example = {"success": True, "code": 200, "message": messages.OK.zh, "data": route.example}
        success = {
            "model": shapes.envelope(route.data),
            "content": {"application/json": {"example": example}},
        }
        if route.csv:
            success["content"]["text/csv"] = {"schema": {"type": "string"}}
    answers: dict[int | str, dict[str, Any]] = {200: {"description": "Success"} | success}
    codes = {422, *route.refusals}
    codes |= {413} if route.body else set()
    codes |= {401, 403} if route.needs else set()
    for code in sorted(codes):
        text = _refusal(route, code)
        example = {"success": False, "code": code, "message": text.zh}
        answers[code] = {
            "model": shapes.Failure,
            "description": text.en,
            "content": {"application/json": {"example": example}},
        }
    return answers


def _refusal(route: Route, code: int) -> messages.Text:
    """An example of what this very route says."""
    if code == 403:
        return messages.FORBIDDEN.of(needs=route.needs)
    if code == 422 and route.parameters:
        wrong = route.parameters[-1]
        return messages.BAD_PARAMETER.of(name=wrong.name, allowed=wrong.allowed)
    if code == 429 and route.path == ingest.PATH:
        return messages.INGEST_LIMITED.of(seconds=12)
    return _REFUSALS[code]


def _extra(route: Route) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    if in_path or route.parameters:
        extra["parameters"] = [*in_path, *(p.documented() for p in route.parameters)]
    if route.body:
        schema = route.body.model_json_schema(ref_template=_REF)
        schema.pop("$defs", None)
        extra["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema, "example": route.body_example}},
        }
    if route.raw_body:
        content = {route.raw_body.media_type: {"schema": {"type": "string"}, "example": route.raw_body.example}}
        extra["requestBody"] = {"required": True, "content": content}
    if route.needs:
        extra["security"] = [{"bearer": []}]
        extra["x-permission"] = route.needs
    return extra


def _refused(app: FastAPI) -> Any:
    async def refuse(request: Request, error: HTTPException) -> Response:
        language = messages.language(request.headers.get("accept-language", ""))
        path: str = request.scope["path"]
        if error.status_code == 404:
            return failure(404, messages.NOT_FOUND, language, path=path)
        if error.status_code == 405:
            allowed = ", ".join(_methods(app, request))
            text = messages.METHOD_NOT_ALLOWED.of(allowed=allowed)
            return failure(405, text, language, {"Allow": allowed}, path=path)
        return failure(error.status_code, messages.BAD_REQUEST, language, path=path)

    return refuse


def _methods(app: FastAPI, request: Request) -> list[str]:
    found: set[str] = set()
    for route in app.router.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= getattr(route, "methods", None) or set()
    return sorted(found | ({"HEAD"} if "GET" in found else set()))
