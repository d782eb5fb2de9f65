"""What connections may cost before anybody knows who speaks: so many, and headers of such a size, within such a time.

Without it, whoever reaches the port takes every descriptor and all memory of the whole process.
"""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 1000
MOST_HEADER_BYTES = 65_536
HEADERS_WITHIN = 10.0  # seconds from the first byte, or from the connection


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn bounds neither how many connections there are nor how long and how large their headers get."""

    _in_headers = True
    _header_bytes = 0
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        if len(self.connections) > MOST_CONNECTIONS:
            log.debug("a connection was refused: there are too many")
            self.transport.abort()
            return
        self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._have_headers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_headers:
            self._header_bytes += len(data)
            if self._header_bytes > MOST_HEADER_BYTES:
                self.send_400_response("The request's headers are too large.")
                return
        if not self.transport.is_closing():
            super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._wait_for_headers()

    def on_headers_complete(self) -> None:
        self._have_headers()
        super().on_headers_complete()

    def _wait_for_headers(self) -> None:
        self._have_headers()
        self._in_headers = True
        self._patience = self.loop.call_later(HEADERS_WITHIN, self._give_up)

    def _have_headers(self) -> None:
        self._in_headers = False
        self._header_bytes = 0
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        log.debug("a connection was closed: no request came")
        self.transport.abort()
