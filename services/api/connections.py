"""What connections may cost before anybody knows who speaks: at most so many, and the first request within such a time.

Without it, whoever reaches the port takes every descriptor of the process, the store's and the broker's too.
"""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shared.runtime.descriptors import descriptors_allowed

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 1000  # fewer where the process may have few descriptors
HEAD_WITHIN = 10.0  # seconds from the connection, or from a later request's first byte, to the end of its headers


class PatientProtocol(HttpToolsProtocol):
    """uvicorn bounds neither how many connections there are nor how long a head may take."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        if len(self.connections) > min(MOST_CONNECTIONS, descriptors_allowed() // 4):
            log.debug("a connection was refused: there are too many")
            self.transport.abort()
        else:
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._have_head()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._wait_for_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._have_head()
        super().on_headers_complete()

    def _wait_for_head(self) -> None:
        self._have_head()
        self._patience = self.loop.call_later(HEAD_WITHIN, self._give_up)

    def _have_head(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        log.debug("a connection was closed: no request came")
        self.transport.abort()
