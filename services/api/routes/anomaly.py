"""``/api/system/anomalies/{id}/``: one anomaly with its series."""

from __future__ import annotations

from starlette.responses import Response

from services.api import shapes
from services.api.anomaly import detail
from services.api.ask import Ask
from services.api.responses import ok
from services.api.route import Route
from services.api.routes.lists import ANOMALY_EXAMPLE


async def anomaly(ask: Ask) -> Response:
    ask.query()
    deps = ask.deps
    kept = deps.settings.clickhouse
    return ok(await detail(deps.queries, deps.history, kept, ask.path("id"), ask.now_ms), ask.language)


ROUTES = [
    Route(
        "GET",
        "/api/system/anomalies/{id}/",
        anomaly,
        "read",
        "One anomaly with its series",
        "events",
        data=shapes.AnomalyDetail,
        example=ANOMALY_EXAMPLE
        | {
            "step": 1,
            "tier": "raw",
            "series": [
                {
                    "metric": "cpu.percent",
                    "labels": {},
                    "expected_low": 0.0,
                    "expected_high": 27.1,
                    "points": [[1769947200000, 99.8]],
                }
            ],
            "similar": [
                {
                    "id": "a-1769860800000-4f1d",
                    "started_at": "2026-01-31T12:00:00Z",
                    "ended_at": "2026-01-31T12:07:00Z",
                    "severity": "warning",
                    "peak_score": 2.8,
                    "summary": "CPU far above what is usual for this host",
                }
            ],
        },
        description="`series`: the host's score and every metric that contributed, from a while before it began until "
        "a while after it ended, or now. `similar`: the five newest earlier anomalies of this host with the same "
        "finding.",
        refusals=(404, 503),
    )
]
