"""A server that sleeps while nobody asks: it ends when it is told to, and its answers have today's date."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn.server

from shared.runtime import serving

ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def server() -> AsyncIterator[serving.Server]:
    it = serving.Server(app)
    yield it
    await it.stop()


async def started(server: serving.Server) -> tuple[str, int]:
    listener = serving.bound("127.0.0.1", 0, settings="LAPWING_TEST", backlog=5)
    await server.start(listener)
    return listener.getsockname()


async def test_it_ends_when_it_is_told_to_and_not_at_its_next_look(
    server: serving.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "DATE_SECONDS", 3600.0)
    monkeypatch.setattr(serving, "GRACE", 30.0)
    await started(server)
    watching = asyncio.create_task(server.watch())
    async with asyncio.timeout(10):
        await server.stop()
        await watching
    assert not server._server.force_exit


async def test_the_date_in_its_answers_goes_on(server: serving.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "DATE_SECONDS", 0.01)
    reader, writer = await asyncio.open_connection(*await started(server))
    try:
        monkeypatch.setattr(uvicorn.server, "formatdate", lambda *_, **__: "tomorrow")
        async with asyncio.timeout(10):
            head = b""
            while b"date: tomorrow" not in head:
                writer.write(ASK)
                head = await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()
