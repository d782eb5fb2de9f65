"""A route: its path, who may use it, what it answers, and what the documentation says of it; all in one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel
from starlette.responses import Response

from services.api.ask import Ask
from services.api.auth.principal import Permission
from services.api.parameters import Parameter


@dataclass(frozen=True)
class RawBody:
    """A body that is not one JSON document, as the documentation shows it."""

    media_type: str
    example: str


Answer = Callable[[Ask], Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    """``needs`` None: open to everybody. ``data``: type of the envelope's ``data``; ``example``: an example of it."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    answer: Answer
    needs: Permission | None
    summary: str
    tag: str
    data: Any = None
    example: Any = None
    parameters: tuple[Parameter[Any], ...] = ()
    body: type[BaseModel] | None = None
    body_example: Any = None
    raw_body: RawBody | None = None
    description: str = ""
    refusals: tuple[int, ...] = ()
    csv: bool = False
    media_type: str = "application/json"
    enveloped: bool = True
    """Whether its answers are in the envelope that all of ours are in; others' formats are not."""
    fast: bool = False
    """Answered ahead of the framework's router, which costs more than the answer."""
