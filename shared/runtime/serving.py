"""uvicorn on the running loop, on a socket of ours, and without its hands on the signals: ``Runner`` owns them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

GRACE = 0.6  # seconds an answer under way has when we stop
DATE_SECONDS = 1.0
"""How often the date in the answers' heads is renewed."""


class CannotListen(RuntimeError):
    """The message says where, why and which setting changes it."""


class Server:
    """Serves ``app`` from ``start`` to ``stop``; ``options`` are uvicorn's."""

    def __init__(self, app: Any, **options: Any) -> None:
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
            ws="none",
            **options,
        )
        self._server = _Uvicorn(config)
        self._serving: asyncio.Task[None] | None = None

    def load(self) -> None:
        """What ``start`` needs of files, ahead of it. Raises ``OSError`` and ``ssl.SSLError``."""
        self._server.config.load()

    async def start(self, listener: socket.socket) -> None:
        """Returns when it answers."""
        self._serving = asyncio.create_task(self._server.serve([listener]))
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait({self._serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if self._serving.done():
            await self._serving

    async def watch(self) -> None:
        if self._serving:
            await asyncio.shield(self._serving)

    async def stop(self) -> None:
        """Within about a second, whatever clients do. Safe to call twice."""
        serving, self._serving = self._serving, None
        if serving is None:
            return
        self._server.leave()
        await asyncio.wait({serving}, timeout=GRACE)
        if not serving.done():
            self._server.force_exit = True
            for connection in list(self._server.server_state.connections):
                if transport := getattr(connection, "transport", None):
                    transport.abort()
            await asyncio.wait({serving}, timeout=GRACE)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._leaving = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        """uvicorn's looks ten times a second whether it is to end; this one is told, and sleeps until then."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DATE_SECONDS):
                    await self._leaving.wait()

    def leave(self) -> None:
        self.should_exit = True
        self._leaving.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bound(host: str, port: int, *, settings: str, backlog: int) -> socket.socket:
    """A socket that listens there. Raises ``CannotListen`` naming ``<settings>__HOST`` or ``…__PORT``."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError:
        raise CannotListen(f"cannot listen on {host}:{port}: {host!r} is no address; see {settings}__HOST") from None
    listener = socket.socket(family, kind, proto)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise CannotListen(_why(error, host, port, settings)) from None
    listener.setblocking(False)
    return listener


def _why(error: OSError, host: str, port: int, settings: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken: stop what uses it, or set {settings}__PORT (0 takes a free one)"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} needs privileges; set {settings}__PORT to one above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; set {settings}__HOST to one that is"
    return f"cannot listen on {host}:{port}: {error.strerror}; see {settings}__HOST and {settings}__PORT"
