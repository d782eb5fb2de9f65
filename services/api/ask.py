"""One request, as the routes see it: who asks, in which language, for what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.types import Receive, Scope

from services.api import messages, parameters
from services.api.errors import ApiError, unprocessable
from services.api.messages import Language, Text
from services.api.parameters import Parameter, Values
from shared.schemas.refusals import reason

if TYPE_CHECKING:
    from services.api.auth.principal import Principal
    from services.api.deps import Deps

M = TypeVar("M", bound=BaseModel)
BODY_WITHIN = 20.0  # seconds


class Ask:
    __slots__ = ("_receive", "deps", "language", "now_ms", "principal", "scope")

    def __init__(
        self, scope: Scope, receive: Receive, deps: Deps, principal: Principal | None, language: Language
    ) -> None:
        self.scope = scope
        self._receive = receive
        self.deps = deps
        self.principal = principal
        self.language: Language = language
        self.now_ms = deps.clock.now_ms()

    def query(self, *known: Parameter[Any]) -> Values:
        return parameters.read(parameters.split(self.scope["query_string"]), known, self.now_ms)

    def path(self, name: str) -> str:
        return str(self.scope["path_params"][name])

    def header(self, name: bytes) -> str:
        return next((v.decode("latin-1") for k, v in self.scope["headers"] if k == name), "")

    async def read(self, feed: Callable[[bytes], None], within: float) -> None:
        """Feeds the body as it comes. Raises ``ApiError`` 408 when it is late."""
        try:
            async with asyncio.timeout(within):
                async for chunk in Request(self.scope, self._receive).stream():
                    feed(chunk)
        except TimeoutError:
            raise ApiError(408, messages.BODY_SLOW, {"Connection": "close"}) from None

    async def body(self, model: type[M]) -> M:
        """The JSON body as a ``model``. Raises ``ApiError`` 422 naming what is wrong with it, 408 when it is late."""
        try:
            async with asyncio.timeout(BODY_WITHIN):
                content = await Request(self.scope, self._receive).body()
        except TimeoutError:
            raise ApiError(408, messages.BODY_SLOW, {"Connection": "close"}) from None
        try:
            return model.model_validate_json(content or b"null")
        except ValidationError as error:
            raise unprocessable(_problem(error, model)) from None


_TYPES = {
    "string_type": messages.A_STRING,
    "float_type": messages.A_NUMBER,
    "float_parsing": messages.A_NUMBER,
    "int_type": messages.A_WHOLE_NUMBER,
    "int_parsing": messages.A_WHOLE_NUMBER,
    "int_from_float": messages.A_WHOLE_NUMBER,
    "bool_type": messages.TRUE_OR_FALSE,
    "bool_parsing": messages.TRUE_OR_FALSE,
    "list_type": messages.A_LIST,
    "dict_type": messages.AN_OBJECT,
    "model_type": messages.AN_OBJECT,
}


def _problem(error: ValidationError, model: type[BaseModel]) -> Text:
    first = error.errors(include_url=False, include_input=False)[0]
    if not first["loc"]:
        return messages.BODY_NOT_JSON
    kind, limits = first["type"], first.get("ctx", {})
    name = ".".join(parameters.shortened(str(part)) for part in first["loc"][:4])
    if kind == "extra_forbidden":
        return messages.UNKNOWN_PARAMETER.of(name=name, known=", ".join(model.model_fields))
    if kind == "missing":
        return messages.MISSING_FIELD.of(name=name)
    if kind == "literal_error":
        allowed = messages.ONE_OF.of(choices=str(limits["expected"]).replace("'", "").replace(" or ", ", "))
        return messages.BAD_PARAMETER.of(name=name, allowed=allowed)
    if kind == "string_too_short":
        return messages.BAD_PARAMETER.of(name=name, allowed=messages.LONG_ENOUGH.of(least=limits["min_length"]))
    if kind in _TYPES:
        return messages.BAD_PARAMETER.of(name=name, allowed=_TYPES[kind])
    return messages.BAD_FIELD.of(name=name, problem=reason(first))
