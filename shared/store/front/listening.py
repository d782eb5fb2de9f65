"""uvicorn on the running loop, on a socket of ours, and without its hands on the signals: ``Runner`` owns them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn

GRACE = 0.6  # seconds an answer under way has when we stop


class CannotListen(RuntimeError):
    """The message says where, why and which setting changes it."""


class Listener:
    def __init__(self, app: Any, *, certfile: Path | None = None, keyfile: Path | None = None) -> None:
        self._app = app
        self._certfile = certfile
        self._keyfile = keyfile
        self._server: _Uvicorn | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Returns the port that was taken. Raises ``CannotListen``."""
        config = uvicorn.Config(
            self._app,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=30,
            ws="none",
            http="httptools",
            **self._tls(),
        )
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            raise CannotListen(
                f"the certificate or its key cannot be used: {error.strerror or error}; "
                "see LAPWING_STORE__SSL_CERTFILE and LAPWING_STORE__SSL_KEYFILE"
            ) from None
        self._server = _Uvicorn(config)
        listener = _bound(host, port)
        self._serving = asyncio.create_task(self._server.serve([listener]))
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait({self._serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if self._serving.done():
            await self._serving
        return int(listener.getsockname()[1])

    def _tls(self) -> dict[str, Any]:
        if not self._certfile:
            if self._keyfile:
                raise CannotListen("LAPWING_STORE__SSL_KEYFILE: without a certificate it is of no use")
            return {}
        return {"ssl_certfile": str(self._certfile), "ssl_keyfile": str(self._keyfile) if self._keyfile else None}

    async def watch(self) -> None:
        if self._serving:
            await asyncio.shield(self._serving)

    async def stop(self) -> None:
        """Within about a second, whatever clients do. Safe to call twice."""
        serving, self._serving = self._serving, None
        if serving is None or self._server is None:
            return
        self._server.should_exit = True
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

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError:
        raise CannotListen(f"cannot listen on {host}:{port}: {host!r} is no address; see LAPWING_STORE__HOST") from None
    listener = socket.socket(family, kind, proto)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            why = f"port {port} on {host} is taken: stop what uses it, or set LAPWING_STORE__PORT (0 takes a free one)"
        else:
            why = f"cannot listen on {host}:{port}: {error.strerror}; see LAPWING_STORE__HOST and LAPWING_STORE__PORT"
        raise CannotListen(why) from None
    listener.setblocking(False)
    return listener
