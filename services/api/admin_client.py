"""The admin's way in from this machine: the running product's socket, or the same application in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import httpx

from services.api import deps as wiring
from services.api.app import create_app
from services.api.errors import ApiError
from services.api.server import short_path
from services.api.service import admin_socket, local
from shared.runtime.data_dir import DataDir
from shared.runtime.settings import Settings
from shared.store.port import StoreError

TIMEOUT = 30.0  # seconds
_BASE = "http://lapwing.local"


class AdminRefused(RuntimeError):
    """The application said no; the message is its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Unreachable(RuntimeError):
    """Neither the product nor its store can be reached; the message says why."""


class AdminClient:
    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """``data`` of the answer. Raises ``AdminRefused`` and ``Unreachable``."""
        try:
            answer = await self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise Unreachable(f"the running Lapwing does not answer: {error}") from None
        envelope = answer.json()
        if not envelope["success"]:
            raise AdminRefused(answer.status_code, envelope["message"])
        return envelope["data"]


@asynccontextmanager
async def admin_client(settings: Settings) -> AsyncIterator[AdminClient]:
    """Raises ``Unreachable``, and ``DataDirError`` where another process holds the embedded store."""
    socket = admin_socket(settings)
    with short_path(socket) if socket.parent.is_dir() else nullcontext("") as path:
        if path and await _answers(path):
            async with _http(httpx.AsyncHTTPTransport(uds=path)) as http:
                yield AdminClient(http)
            return
    async with _in_this_process(settings) as transport, _http(transport) as http:
        yield AdminClient(http)


async def _answers(path: str) -> bool:
    try:
        async with _http(httpx.AsyncHTTPTransport(uds=path)) as http:
            return (await http.get("/healthz")).status_code in (200, 503)
    except httpx.HTTPError:
        return False


def _http(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=transport, base_url=_BASE, timeout=TIMEOUT, headers={"Accept-Language": "en"}, trust_env=False
    )


@asynccontextmanager
async def _in_this_process(settings: Settings) -> AsyncIterator[httpx.ASGITransport]:
    from shared.store.clickhouse import open_store
    from shared.store.migrate import migrate

    data_dir = DataDir(settings.data_dir)
    if settings.clickhouse.dsn.startswith("chdb://"):
        data_dir.claim(["api"])
    deps = wiring.make(settings)
    try:
        store = await open_store(settings, "accounts")
        deps.queries.open([store])
        await migrate(settings, store)
        await deps.accounts.open()
        yield httpx.ASGITransport(app=local(create_app(deps)))
    except (StoreError, ApiError) as error:
        raise Unreachable(f"the store cannot be opened: {error}") from None
    finally:
        deps.passwords.close()
        await deps.queries.close()
        data_dir.release()
