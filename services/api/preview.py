"""Who would be told of an alert with such labels, and what would hold it back now. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.alerting.matching import matches, written
from shared.alerting.quiet_hours import is_quiet
from shared.alerting.routing import group_labels, taken
from shared.schemas.control import QuietHours, RouteEntry, Setup


def preview(setup: Setup, labels: Mapping[str, str], now_ms: int) -> list[dict[str, Any]]:
    """One entry a route that is taken, in order."""
    quiet = {q.name: q for q in setup.quiet_hours}
    return [_of_route(setup.routes, index, quiet, labels, now_ms) for index in taken(setup.routes, labels)]


def _of_route(
    routes: Sequence[RouteEntry], index: int, quiet: Mapping[str, QuietHours], labels: Mapping[str, str], now_ms: int
) -> dict[str, Any]:
    route = routes[index]
    in_force = [n for n in route.quiet if n in quiet and _is_held(quiet[n], labels, now_ms)]
    return {
        "path": [
            {"receiver": routes[i].receiver, "matchers": [written(m) for m in routes[i].matchers]}
            for i in _path(routes, index)
        ],
        "receiver": route.receiver,
        "group_by": list(route.group_by),
        "group_labels": group_labels(route, labels),
        "group_wait": route.group_wait_ms / 1000,
        "group_interval": route.group_interval_ms / 1000,
        "repeat_interval": route.repeat_interval_ms / 1000,
        "steps": [{"after": step.after_ms / 1000, "receiver": step.receiver} for step in route.steps],
        "quiet_hours": list(route.quiet),
        "quiet_now": in_force,
    }


def _path(routes: Sequence[RouteEntry], index: int) -> list[int]:
    """From the root."""
    found: list[int] = []
    while index >= 0:
        found.append(index)
        index = routes[index].parent
    return found[::-1]


def _is_held(quiet: QuietHours, labels: Mapping[str, str], now_ms: int) -> bool:
    let_through = bool(quiet.lets_through) and matches(quiet.lets_through, labels)
    return not let_through and is_quiet(quiet, now_ms)
