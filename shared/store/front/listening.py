"""Where the front listens, encrypted where there is a certificate."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from shared.runtime.serving import CannotListen, Server, bound


class Listener:
    def __init__(self, app: Any, *, certfile: Path | None = None, keyfile: Path | None = None) -> None:
        self._app = app
        self._certfile = certfile
        self._keyfile = keyfile
        self._server: Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Returns the port that was taken. Raises ``CannotListen``."""
        server = Server(self._app, timeout_keep_alive=30, http="httptools", **self._tls())
        try:
            server.load()
        except (OSError, ssl.SSLError) as error:
            raise CannotListen(
                f"the certificate or its key cannot be used: {error.strerror or error}; "
                "see LAPWING_STORE__SSL_CERTFILE and LAPWING_STORE__SSL_KEYFILE"
            ) from None
        listener = bound(host, port, settings="LAPWING_STORE", backlog=128)
        self._server = server
        await server.start(listener)
        return int(listener.getsockname()[1])

    def _tls(self) -> dict[str, Any]:
        if not self._certfile:
            if self._keyfile:
                raise CannotListen("LAPWING_STORE__SSL_KEYFILE: without a certificate it is of no use")
            return {}
        return {"ssl_certfile": str(self._certfile), "ssl_keyfile": str(self._keyfile) if self._keyfile else None}

    async def watch(self) -> None:
        if self._server:
            await self._server.watch()

    async def stop(self) -> None:
        """Within about a second, whatever clients do. Safe to call twice."""
        if self._server:
            await self._server.stop()
