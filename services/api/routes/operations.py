"""For who runs Lapwing: liveness, readiness, our own numbers."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from starlette.responses import Response

from services.api.ask import Ask
from services.api.responses import JSON, encoded
from services.api.route import Route
from shared.runtime import selfmetrics
from shared.runtime.health import Check, Health

_PROCESS = CollectorRegistry()
ProcessCollector(registry=_PROCESS)
PlatformCollector(registry=_PROCESS)


async def healthz(ask: Ask) -> Response:
    return _verdict(ask.deps.health.progress)


async def readyz(ask: Ask) -> Response:
    return _verdict(ask.deps.health.dependencies)


def _verdict(checks: dict[str, Check]) -> Response:
    failures = Health.failures(checks)
    body = encoded({"status": "failing" if failures else "ok", "checks": sorted(checks), "failures": failures})
    return Response(body, status_code=503 if failures else 200, media_type=JSON)


async def metrics(ask: Ask) -> Response:
    text = selfmetrics.exposition().encode() + generate_latest(_PROCESS)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


_WELL = {"status": "ok", "checks": ["api"], "failures": {}}

ROUTES = [
    Route("GET", "/healthz", healthz, None, "Liveness: every part makes progress", "operations", example=_WELL),
    Route("GET", "/readyz", readyz, None, "Readiness: what the parts need is there", "operations", example=_WELL),
    Route(
        "GET",
        "/metrics",
        metrics,
        None,
        "Our own numbers, Prometheus text",
        "operations",
        example="lapwing_api_hosts 3\n",
        media_type="text/plain",
    ),
]
