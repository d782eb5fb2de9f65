"""uvicorn on the running loop, on a socket of ours, and without its hands on the signals: ``Runner`` owns them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn

from services.api.connections import PatientProtocol

LONGEST_HEAD = 1 << 20  # bytes, with as much of a body as comes in the same reads
GRACE = 0.6  # seconds an answer under way has when we stop


class CannotListen(RuntimeError):
    """The message says where, why and which setting changes it."""


class Server:
    """Listens from ``start`` to ``stop`` on a TCP address, or on a Unix socket that only its owner may open."""

    def __init__(self, app: Any) -> None:
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=75,
            ws="none",
            http=_Protocol,
        )
        self._server = _Uvicorn(config)
        self._serving: asyncio.Task[None] | None = None
        self._socket_file: Path | None = None

    async def start_tcp(self, host: str, port: int) -> tuple[str, int]:
        """Returns the address that was taken. Raises ``CannotListen``."""
        listener = _bound(host, port)
        await self._start(listener)
        address = listener.getsockname()
        return address[0], address[1]

    async def start_unix(self, file: Path) -> None:
        """The directory's mode keeps others out, and the socket's. Raises ``CannotListen``."""
        listener = _bound_unix(file)
        self._socket_file = file
        await self._start(listener)

    async def _start(self, listener: socket.socket) -> None:
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
        if self._socket_file:
            self._socket_file.unlink(missing_ok=True)


class _Protocol(PatientProtocol):
    """Hangs up on a request whose head does not end: the parser itself would take any length of it."""

    _head = 0
    _in_head = True

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head += len(data)
            if self._head > LONGEST_HEAD:
                self.transport.close()
                return
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._head, self._in_head = 0, True
        super().on_message_complete()


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
    where = f"{host}:{port}"
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError:
        raise CannotListen(f"cannot listen on {where}: {host!r} is no address; see LAPWING_API__HOST") from None
    listener = socket.socket(family, kind, proto)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise CannotListen(_why(error, host, port)) from None
    listener.setblocking(False)
    return listener


def _bound_unix(file: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.parent.chmod(0o700)
        file.unlink(missing_ok=True)
        with short_path(file) as path:
            before = os.umask(0o177)
            try:
                listener.bind(path)
            finally:
                os.umask(before)
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise CannotListen(f"cannot listen on {file}: {error.strerror}") from None
    listener.setblocking(False)
    return listener


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken: stop what uses it, or set LAPWING_API__PORT (0 takes a free one)"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} needs privileges; set LAPWING_API__PORT to one above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; set LAPWING_API__HOST to one that is"
    return f"cannot listen on {host}:{port}: {error.strerror}; see LAPWING_API__HOST and LAPWING_API__PORT"


@contextlib.contextmanager
def short_path(file: Path) -> Iterator[str]:
    """A name for ``file`` that fits into a Unix socket's address (108 bytes), however deep its directory."""
    if len(os.fsencode(file)) < 100:
        yield str(file)
        return
    directory = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{file.name}"
    finally:
        os.close(directory)
