"""Strangers who connect and say nothing: they are few at a time, and they are sent away."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from services.api import connections
from services.api.server import Server


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def test_who_says_nothing_is_sent_away_and_who_asks_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_WITHIN", 0.3)
    server = Server(app)
    address = await server.start_tcp("127.0.0.1", 0)
    try:
        async with asyncio.timeout(60):
            quiet, _quiet = await asyncio.open_connection(*address)
            slow, slow_out = await asyncio.open_connection(*address)
            polite, polite_out = await asyncio.open_connection(*address)
            slow_out.write(b"GET / HTTP/1.1\r\nX-Never-")
            polite_out.write(ASK)
            assert b"204" in await polite.readline()
            await _ended(quiet)
            await _ended(slow)
            await polite.readuntil(b"\r\n\r\n")
            polite_out.write(ASK)
            assert b"204" in await polite.readline(), "a pause between requests is no offence"
    finally:
        await server.stop()


async def test_too_many_connections_are_refused_and_room_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 3)
    server = Server(app)
    address = await server.start_tcp("127.0.0.1", 0)
    try:
        async with asyncio.timeout(60):
            held = [await asyncio.open_connection(*address) for _ in range(3)]
            await _until(lambda: len(server._server.server_state.connections) == 3)
            refused, _refused = await asyncio.open_connection(*address)
            await _ended(refused)
            held[0][1].close()
            await _until(lambda: len(server._server.server_state.connections) == 2)
            again, again_out = await asyncio.open_connection(*address)
            again_out.write(ASK)
            assert b"204" in await again.readline()
    finally:
        await server.stop()


async def _ended(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionResetError):
        assert await reader.read() == b""


async def _until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.01)
