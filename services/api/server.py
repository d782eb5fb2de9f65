"""Where the API listens: a TCP address, and a Unix socket for who may do everything on this machine."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.api.connections import PatientProtocol
from shared.runtime import serving
from shared.runtime.serving import CannotListen, bound

LONGEST_HEAD = 1 << 20  # bytes, with as much of a body as comes in the same reads


class Server(serving.Server):
    """Listens from ``start_…`` to ``stop`` on a TCP address, or on a Unix socket that only its owner may open."""

    def __init__(self, app: Any) -> None:
        super().__init__(app, timeout_keep_alive=75, http=_Protocol)
        self._socket_file: Path | None = None

    async def start_tcp(self, host: str, port: int) -> tuple[str, int]:
        """Returns the address that was taken. Raises ``CannotListen``."""
        listener = bound(host, port, settings="LAPWING_API", backlog=512)
        await self.start(listener)
        address = listener.getsockname()
        return address[0], address[1]

    async def start_unix(self, file: Path) -> None:
        """The directory's mode keeps others out, and the socket's. Raises ``CannotListen``."""
        listener = _bound_unix(file)
        self._socket_file = file
        await self.start(listener)

    async def stop(self) -> None:
        await super().stop()
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
