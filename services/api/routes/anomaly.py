"""``/api/system/anomalies/{id}/``: one anomaly with its series, and what people say of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.api import feedback, messages, shapes
from services.api.anomaly import detail, find
from services.api.ask import Ask
from services.api.errors import not_found
from services.api.responses import ok
from services.api.route import Route
from services.api.routes.lists import ANOMALY_EXAMPLE


class Saying(BaseModel):
    """``normal``: what is like this is not to be alarmed about on this host. ``real``: it is, and more than before."""

    model_config = ConfigDict(extra="forbid", strict=True)

    verdict: Literal["normal", "real"]
    note: Annotated[str, Field(max_length=4096)] = ""


async def anomaly(ask: Ask) -> Response:
    ask.query()
    deps = ask.deps
    kept = deps.settings.clickhouse
    found = await detail(deps.queries, deps.history, kept, ask.path("id"), ask.now_ms)
    said = await deps.decisions.of(feedback.key(found["id"]))
    return ok({**found, "feedback": said and feedback.shape(said)}, ask.language)


async def give_feedback(ask: Ask) -> Response:
    ask.query()
    saying = await ask.body(Saying)
    of = await find(ask.deps.queries, ask.path("id"))
    assert ask.principal is not None
    said = await feedback.give(ask.deps.decisions, of, saying.verdict, ask.principal.shown, saying.note, ask.now_ms)
    return ok(said, ask.language)


async def take_feedback_back(ask: Ask) -> Response:
    ask.query()
    of = ask.path("id")
    said = await ask.deps.decisions.taken_back(feedback.key(of), not_found(messages.NO_FEEDBACK.of(id=of[:128])))
    return ok(feedback.shape(said), ask.language)


_SAID = {"verdict": "normal", "author": "ada", "note": "the nightly backup", "at": "2026-02-01T12:30:00Z"}


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
            "feedback": _SAID,
        },
        description="`series`: the host's score and every metric that contributed, from a while before it began until "
        "a while after it ended, or now. `similar`: the five newest earlier anomalies of this host with the same "
        "finding.",
        refusals=(404, 503),
    ),
    Route(
        "POST",
        "/api/system/anomalies/{id}/feedback/",
        give_feedback,
        "act",
        "Say of an anomaly that it was normal, or real",
        "events",
        data=shapes.FeedbackShape,
        example=_SAID,
        body=Saying,
        body_example={"verdict": "normal", "note": "the nightly backup"},
        description="The detector takes it up within seconds, for this host, this finding and these metrics: `normal` "
        "keeps it quiet while they stay where they were, `real` makes it louder. The newest saying counts.",
        refusals=(404, 503),
    ),
    Route(
        "DELETE",
        "/api/system/anomalies/{id}/feedback/",
        take_feedback_back,
        "act",
        "Take back what was said of an anomaly",
        "events",
        data=shapes.FeedbackShape,
        example=_SAID,
        refusals=(404, 503),
    ),
]
