"""What a process tells about itself as Prometheus text: its own numbers, its health, its memory and CPU."""

from __future__ import annotations

import logging
from typing import Any

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest

from shared.runtime import selfmetrics
from shared.runtime.health import Health
from shared.runtime.serving import Server, bound

log = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MEASURED = ("ingest", "detector", "alerter")
"""Services that have a port for it where they run without the API, which has a door of its own; in the order of their
ports. An agent opens none.
"""

_PROCESS = CollectorRegistry()
ProcessCollector(registry=_PROCESS)
PlatformCollector(registry=_PROCESS)


def page(health: Health) -> bytes:
    for kind, checks in (
        ("progress", health.progress),
        ("dependency", health.dependencies),
        ("warning", health.warnings),
    ):
        failures = Health.failures(checks)
        for name in checks:
            selfmetrics.HEALTH_TROUBLE.set(name in failures, kind, name)
    return selfmetrics.exposition().encode() + generate_latest(_PROCESS)


class MetricsPort:
    """Serves ``GET /metrics`` from ``start`` to ``stop``."""

    name = "metrics"

    def __init__(self, health: Health, host: str, port: int) -> None:
        """``port``: 0 takes a free one."""
        self._health = health
        self._host = host
        self._port = port
        self._server = Server(self._answer, interface="asgi3", timeout_keep_alive=75, limit_concurrency=64)

    async def start(self) -> None:
        """Raises ``CannotListen``."""
        listener = bound(self._host, self._port, settings="LAPWING_METRICS", backlog=64)
        self.address: tuple[str, int] = listener.getsockname()[:2]
        await self._server.start(listener)
        log.info("own metrics are served", extra={"host": self.address[0], "port": self.address[1]})

    async def watch(self) -> None:
        await self._server.watch()

    async def stop(self) -> None:
        await self._server.stop()

    async def _answer(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        found = scope["type"] == "http" and scope["path"].rstrip("/") == "/metrics"
        asked = scope.get("method") in ("GET", "HEAD")
        status, body = (200, page(self._health)) if found and asked else (405 if found else 404, b"see /metrics\n")
        headers = [(b"content-type", CONTENT_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope.get("method") == "HEAD" else body})
