"""Anomalies, alerts and logs: filtered, sorted, page by page; as JSON or CSV."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from services.api import listings, paging, parameters, shapes
from services.api.ask import Ask
from services.api.listings import ALERTS, ANOMALIES, LOGS, Listing
from services.api.parameters import Parameter
from services.api.responses import ok
from services.api.route import Route
from services.api.tables_csv import as_csv

LIMIT = parameters.whole_number("limit", "Items a page.", 1, 1000, 100)
CURSOR = parameters.words("cursor", "`next_cursor` of the page before.", 2048)
_LOGS_REACH_MS = 86_400_000


class _List:
    def __init__(self, listing: Listing, *, reach_ms: int | None = None) -> None:
        self._listing = listing
        self._reach_ms = reach_ms
        names = [f"{sign}{name}" for name in listing.sorts for sign in ("-", "")]
        self._sort = parameters.one_of("sort", "`-` in front: the greatest first.", names, names[0])
        self.parameters: tuple[Parameter[Any], ...] = (
            *(f.parameter for f in listing.filters),
            self._sort,
            LIMIT,
            CURSOR,
        )

    async def answer(self, ask: Ask) -> Response:
        values = ask.query(*self.parameters)
        sort, limit = values[self._sort], values[LIMIT]
        given = listings.given(values, self._listing)
        if self._reach_ms is not None and "from" not in given:
            given["from"] = given.get("to", ask.now_ms) - self._reach_ms
        page = await listings.page(
            ask.deps.queries, self._listing, given, sort, limit, paging.read_cursor(values[CURSOR], sort)
        )
        if "text/csv" in ask.header(b"accept").lower():
            return self._csv(ask, page)
        return ok({"items": page.items, "next_cursor": page.next_cursor}, ask.language)

    def _csv(self, ask: Ask, page: listings.Page) -> Response:
        name = f"{self._listing.table}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        if page.next_cursor:
            pairs = [(k, v) for k, v in parameters.split(ask.scope["query_string"]) if k != "cursor"]
            query = urlencode([*pairs, ("cursor", page.next_cursor)])
            headers["Link"] = f'<{ask.scope["path"]}?{query}>; rel="next"'
        body = as_csv(self._listing.columns, page.items)
        return Response(body, media_type="text/csv; charset=utf-8", headers=headers)


def _route(listing: Listing, shape: Any, summary: str, example: Any, reach_ms: int | None = None) -> Route:
    handler = _List(listing, reach_ms=reach_ms)
    return Route(
        "GET",
        f"/api/system/{listing.table}/",
        handler.answer,
        "read",
        summary,
        "events",
        data=shapes.PageOf[shape],
        example={"items": [example], "next_cursor": None},
        parameters=handler.parameters,
        description="The next page is asked for with `cursor=<next_cursor>` and everything else the same. With "
        "`Accept: text/csv` the page is CSV and the next one is named in the `Link` header.",
        refusals=(503,),
        csv=True,
    )


_WHO = {"host_id": "4f1d2c3b5a69788796a5b4c3d2e1f001", "host": "web-1"}

ANOMALY_EXAMPLE: dict[str, Any] = {
    "id": "a-1769947200000-4f1d",
    **_WHO,
    "labels": {"role": "web"},
    "state": "open",
    "finding": "cpu_overload",
    "severity": "warning",
    "score": 2.4,
    "peak_score": 3.1,
    "started_at": "2026-02-01T12:00:00Z",
    "updated_at": "2026-02-01T12:00:30Z",
    "ended_at": None,
    "summary": "CPU far above what is usual for this host",
    "contributions": [],
    "top_processes": [],
    "evidence": {},
}

ALERT_EXAMPLE: dict[str, Any] = {
    "id": "cpu-busy-4f1d-1769947200000",
    "fingerprint": "9f86d081884c7d65",
    **_WHO,
    "rule": "cpu_busy",
    "state": "firing",
    "severity": "warning",
    "labels": {"alertname": "cpu_busy", "host": "web-1", "severity": "warning", "metric": "cpu.percent"},
    "annotations": {},
    "started_at": "2026-02-01T12:00:00Z",
    "updated_at": "2026-02-01T12:01:00Z",
    "ended_at": None,
    "value": 98.2,
    "threshold": 90.0,
    "summary": "CPU above 90 % for a minute",
    "reason": "",
    "anomaly_id": "",
    "condition": "firing",
    "attention_reason": "",
    "attention_by": [],
    "attention_until": None,
}

ROUTES = [
    _route(
        ANOMALIES,
        shapes.AnomalyShape,
        "Anomalies, newest first",
        ANOMALY_EXAMPLE,
    ),
    _route(
        ALERTS,
        shapes.AlertShape,
        "Alerts, newest first",
        ALERT_EXAMPLE,
    ),
    _route(
        LOGS,
        shapes.LogShape,
        "Log lines, newest first; of the last day unless `from` says otherwise",
        {
            "id": "0190-1",
            "ts": "2026-02-01T12:00:00Z",
            **_WHO,
            "level": "error",
            "source": "nginx.service",
            "message": "upstream timed out",
            "fields": {},
        },
        _LOGS_REACH_MS,
    ),
]
