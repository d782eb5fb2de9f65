"""What a request brings, as far as it brings it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from services.api import ask as ask_module
from services.api import deps
from services.api.ask import Ask
from services.api.door import _with_its_slash
from services.api.errors import ApiError
from shared.runtime.settings import Settings


class Anything(BaseModel):
    x: int


async def test_a_body_that_never_comes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask_module, "BODY_WITHIN", 0.05)

    async def drip() -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b" ", "more_body": True}

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}
    made = deps.make(Settings())
    try:
        with pytest.raises(ApiError) as refused:
            async with asyncio.timeout(60):
                await Ask(scope, drip, made, None, "en").body(Anything)
    finally:
        made.passwords.close()
    assert refused.value.status == 408


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("/api/system/cpu", "/api/system/cpu/"),
        ("/api/system/cpu/", "/api/system/cpu/"),
        ("/healthz/", "/healthz"),
        ("/docs/", "/docs"),
        ("/docs", "/docs"),
        ("/", "/"),
        ("/docs//", "/docs/"),
    ],
)
def test_every_route_is_found_with_and_without_its_slash(asked: str, found: str) -> None:
    assert _with_its_slash(asked) == found
