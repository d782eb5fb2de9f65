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
    return _verdict(ask.deps.health.progress, {})


async def readyz(ask: Ask) -> Response:
    return _verdict(ask.deps.health.dependencies, ask.deps.health.warnings)


def _verdict(needed: dict[str, Check], wanted: dict[str, Check]) -> Response:
    failures, warnings = Health.failures(needed), Health.failures(wanted)
    body = {
        "status": "failing" if failures else "warning" if warnings else "ok",
        "checks": sorted(needed | wanted),
        "failures": failures,
        "warnings": warnings,
    }
    return Response(encoded(body), status_code=503 if failures else 200, media_type=JSON)


async def metrics(ask: Ask) -> Response:
    health = ask.deps.health
    for kind, checks in (
        ("progress", health.progress),
        ("dependency", health.dependencies),
        ("warning", health.warnings),
    ):
        failures = Health.failures(checks)
        for name in checks:
            selfmetrics.HEALTH_TROUBLE.set(name in failures, kind, name)
    text = selfmetrics.exposition().encode() + generate_latest(_PROCESS)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


_WELL = {"status": "ok", "checks": ["api"], "failures": {}, "warnings": {}}

ROUTES = [
    Route("GET", "/healthz", healthz, None, "Liveness: every part makes progress", "operations", example=_WELL),
    Route("GET", "/readyz", readyz, None, "Readiness: it has started, the store answers", "operations", example=_WELL),
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
