"""For who runs Lapwing: liveness, readiness, our own numbers."""

from __future__ import annotations

from starlette.responses import Response

from services.api.ask import Ask
from services.api.responses import JSON, encoded
from services.api.route import Route
from shared.runtime.health import Check, Health
from shared.runtime.own_metrics import CONTENT_TYPE, page


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
    return Response(page(ask.deps.health), media_type=CONTENT_TYPE)


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
