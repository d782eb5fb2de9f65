"""``/api/system/rules/`` and ``/api/system/routes/preview/``: what is watched, and who would get it."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.api import matchers, messages, preview, receivers, shapes, silences
from services.api.ask import Ask
from services.api.errors import unavailable
from services.api.live import Live
from services.api.responses import ok
from services.api.route import Route
from services.api.routes.silences import SILENCE_EXAMPLE
from services.api.statements import statement
from shared.alerting.matching import matches, written
from shared.runtime import times
from shared.schemas.control import RuleEntry
from shared.schemas.metrics import BY_NAME

RETRY_AFTER = 5


class Labels(BaseModel):
    """An alert as it might be."""

    model_config = ConfigDict(extra="forbid", strict=True)

    labels: Annotated[
        dict[Annotated[str, Field(max_length=256)], Annotated[str, Field(max_length=1024)]], Field(max_length=100)
    ]


async def rules(ask: Ask) -> Response:
    ask.query()
    setup = ask.deps.told.setup
    if setup is None:
        return ok({"rules": [], "problems": [], "told_at": None}, ask.language)
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for rule, condition, count in await ask.deps.queries.rows(statement("rules_open")):
        counts[rule][condition] = count
    return ok(
        {
            "rules": [_rule(rule, counts[rule.name], ask.deps.live) for rule in setup.rules],
            "problems": list(setup.problems),
            "told_at": times.iso(setup.ts),
        },
        ask.language,
    )


def _rule(rule: RuleEntry, counts: dict[str, int], live: Live) -> dict[str, Any]:
    return {
        "name": rule.name,
        "title": rule.title,
        "severity": rule.severity,
        "watches": rule.watches,
        "condition": rule.condition,
        "matchers": [written(m) for m in rule.matchers],
        "labels": dict(rule.labels),
        "metric": rule.metric,
        "enabled": rule.enabled,
        "source": rule.source,
        "firing": counts.get("firing", 0),
        "pending": counts.get("pending", 0),
        "hosts": _covered(rule, live) if rule.enabled else 0,
    }


def _covered(rule: RuleEntry, live: Live) -> int:
    """Hosts whose labels the rule means; what it wants of a metric's own label is not asked of a host."""
    own = {BY_NAME[rule.metric].label, "instance"} if rule.metric in BY_NAME else set()
    wanted = [m for m in rule.matchers if m.name not in own]
    ours = {"alertname": rule.name, "severity": rule.severity, "metric": rule.metric}
    return sum(matches(wanted, {**h.labels, **rule.labels, **ours, "host": h.name, "host_id": h.host_id}) for h in live)


async def who_would_get_it(ask: Ask) -> Response:
    ask.query()
    body = await ask.body(Labels)
    deps = ask.deps
    setup = deps.told.setup
    if setup is None:
        raise unavailable(messages.NO_SETUP, RETRY_AFTER)
    held = [s for s in await silences.standing(deps.decisions, ask.now_ms) if silences.means(s, body.labels)]
    routes = preview.preview(setup, body.labels, ask.now_ms)
    subscribed = await _subscribed(ask, body.labels)
    everybody = list(dict.fromkeys([*(r["receiver"] for r in routes if r["receiver"]), *subscribed]))
    silent = any(silences.state(s, ask.now_ms) == "active" for s in held)
    awake = [r["receiver"] for r in routes if not r["quiet_now"]]
    now = [] if silent else [name for name in everybody if name in awake or name in subscribed]
    return ok(
        {
            "routes": routes,
            "receivers": everybody,
            "told_now": now,
            "silences": [silences.shape(s, ask.now_ms) for s in held],
        },
        ask.language,
    )


async def _subscribed(ask: Ask, labels: dict[str, str]) -> list[str]:
    """Receivers that were entered here and mean it; they need no route."""
    kept = await ask.deps.decisions.all_of(receivers.PREFIX)
    return [one["id"] for one in kept if matches(matchers.in_force(one.get("matchers", ())), labels)]


_RULE = {
    "name": "cpu_busy",
    "title": "CPU is busy",
    "severity": "warning",
    "watches": "metric",
    "condition": "cpu.percent above 90 for 30s, until below 75 for 15s",
    "matchers": [],
    "labels": {},
    "metric": "cpu.percent",
    "enabled": True,
    "source": "shipped",
    "firing": 1,
    "pending": 0,
    "hosts": 12,
}

ROUTES = [
    Route(
        "GET",
        "/api/system/rules/",
        rules,
        "read",
        "The alerter's rules and how they stand",
        "alerting",
        data=shapes.RulesShape,
        example={"rules": [_RULE], "problems": [], "told_at": "2026-02-01T12:00:00Z"},
        description="As the alerter last said that they are in force: `told_at` is null while no alerter has. "
        "`hosts`: how many it covers. `problems`: why changed files were refused.",
        refusals=(503,),
    ),
    Route(
        "POST",
        "/api/system/routes/preview/",
        who_would_get_it,
        "read",
        "Who would be told of an alert with such labels?",
        "alerting",
        data=shapes.PreviewShape,
        example={
            "routes": [
                {
                    "path": [
                        {"receiver": "default", "matchers": []},
                        {"receiver": "night shift", "matchers": ['severity="critical"']},
                    ],
                    "receiver": "night shift",
                    "group_by": ["alertname"],
                    "group_labels": {"alertname": "disk_full"},
                    "group_wait": 0.0,
                    "group_interval": 300.0,
                    "repeat_interval": 14400.0,
                    "steps": [{"after": 900.0, "receiver": "on call"}],
                    "quiet_hours": ["nights"],
                    "quiet_now": [],
                }
            ],
            "receivers": ["night shift"],
            "told_now": [],
            "silences": [SILENCE_EXAMPLE],
        },
        body=Labels,
        body_example={"labels": {"alertname": "disk_full", "severity": "critical", "host": "web-1"}},
        description="`receivers`: everybody who subscribes to it; `told_now`: those who would be told at this hour, "
        "with the silences as they are. Times are seconds.",
        refusals=(503,),
    ),
]
