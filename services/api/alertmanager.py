"""Alerts, silences and routes in the shapes of Alertmanager's API, version 2. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from services.api import silences
from services.api.matchers import in_force
from shared.alerting.expressions import is_whole
from shared.alerting.matching import matches, written
from shared.alerting.routing import group_labels, taken
from shared.runtime import times
from shared.runtime.version import VERSION
from shared.schemas.control import Matcher, RouteEntry, Setup

SPOKEN = "0.25.0"
"""The Alertmanager whose API this is: clients look at the number."""
NOBODY = "nobody"
RESOLVE_TIMEOUT_MS = 300_000
Kept = Mapping[str, Any]


def status(setup: Setup | None, started_ms: int) -> dict[str, Any]:
    return {
        "cluster": {"status": "disabled", "peers": []},
        "config": {"original": yaml.safe_dump(config(setup), sort_keys=False, allow_unicode=True)},
        "uptime": instant(started_ms),
        "versionInfo": {
            "version": SPOKEN,
            "revision": VERSION,
            "branch": "lapwing",
            "buildUser": "",
            "buildDate": "",
            "goVersion": "",
        },
    }


def config(setup: Setup | None) -> dict[str, Any]:
    """The routing tree, as Alertmanager would be told it: enough for `amtool config routes`."""
    routes = setup.routes if setup else []
    tree: dict[str, Any] = _node(routes[0]) if routes else {"receiver": NOBODY}
    nodes = [tree]
    for route in routes[1:]:
        node = _node(route)
        nodes.append(node)
        if 0 <= route.parent < len(nodes) - 1:  # what comes from a topic may be no tree
            nodes[route.parent].setdefault("routes", []).append(node)
    tree.pop("matchers", None)
    return {"route": tree, "receivers": [{"name": name} for name in receivers(setup)]}


def receivers(setup: Setup | None) -> list[str]:
    if setup is None:
        return [NOBODY]
    steps = [step.receiver for route in setup.routes for step in route.steps]
    routed = [route.receiver or NOBODY for route in setup.routes] or [NOBODY]
    return sorted({*routed, *steps, *(one.name for one in setup.receivers)})


def _node(route: RouteEntry) -> dict[str, Any]:
    node: dict[str, Any] = {"receiver": route.receiver or NOBODY}
    if route.matchers:
        node["matchers"] = [written(m) for m in route.matchers]
    if route.group_by:
        node["group_by"] = list(route.group_by)
    if route.continues:
        node["continue"] = True
    return node | {
        "group_wait": _duration(route.group_wait_ms),
        "group_interval": _duration(max(1000, route.group_interval_ms)),
        "repeat_interval": _duration(max(1000, route.repeat_interval_ms)),
    }


def _duration(ms: int) -> str:
    return f"{ms}ms" if ms % 1000 else times.in_words(ms // 1000) if ms else "0s"


def alerts(firing: Iterable[Kept], setup: Setup | None, now_ms: int) -> list[dict[str, Any]]:
    """``firing``: alerts as they are listed."""
    everything = list(firing)
    fingerprints = {one["id"]: one["fingerprint"] for one in everything}
    return [_alert(one, fingerprints, setup, now_ms) for one in everything]


def _alert(one: Kept, fingerprints: Mapping[str, str], setup: Setup | None, now_ms: int) -> dict[str, Any]:
    silenced = [by.removeprefix("silence:") for by in one["attention_by"] if by.startswith("silence:")]
    inhibiting = [by.removeprefix("alert:") for by in one["attention_by"] if by.startswith("alert:")]
    annotations = dict(one["annotations"])
    if one["summary"]:
        annotations.setdefault("summary", one["summary"])
    if one["state"] in ("acknowledged", "flapping"):
        annotations["lapwing_state"] = f"{one['state']}: {one['attention_reason']}"
    return {
        "labels": one["labels"],
        "annotations": annotations,
        "startsAt": _again(one["started_at"]),
        "updatedAt": _again(one["updated_at"]),
        "endsAt": instant(now_ms + RESOLVE_TIMEOUT_MS),
        "fingerprint": one["fingerprint"],
        "generatorURL": "",
        "receivers": [{"name": name} for name in _receivers_of(one["labels"], setup)],
        "status": {
            "state": "suppressed" if one["state"] == "suppressed" else "active",
            "silencedBy": silenced,
            "inhibitedBy": [fingerprints.get(alert_id, alert_id) for alert_id in inhibiting],
        },
    }


def _receivers_of(labels: Mapping[str, str], setup: Setup | None) -> list[str]:
    if setup is None or not setup.routes:
        return [NOBODY]
    return list(dict.fromkeys(setup.routes[i].receiver or NOBODY for i in taken(setup.routes, labels)))


def wanted(
    found: Iterable[dict[str, Any]],
    *,
    filters: Sequence[Matcher],
    active: bool,
    silenced: bool,
    inhibited: bool,
    receiver: str | None,
) -> list[dict[str, Any]]:
    """Those of ``alerts`` that a query means."""
    return [
        one
        for one in found
        if matches(filters, one["labels"])
        and _state_wanted(one["status"], active=active, silenced=silenced, inhibited=inhibited)
        and (receiver is None or any(is_whole(receiver, r["name"]) for r in one["receivers"]))
    ]


def _state_wanted(state: Kept, *, active: bool, silenced: bool, inhibited: bool) -> bool:
    if state["state"] == "active":
        return active
    # Quiet hours are nobody's silence, and hide as one.
    return inhibited if state["inhibitedBy"] and not state["silencedBy"] else silenced


def groups(found: Iterable[dict[str, Any]], setup: Setup | None) -> list[dict[str, Any]]:
    """By receiver and by the labels that its route groups by."""
    by_key: dict[tuple[str, tuple[tuple[str, str], ...]], list[dict[str, Any]]] = {}
    for one in found:
        labels = one["labels"]
        indices = taken(setup.routes, labels) if setup else []
        for index in indices or [-1]:
            route = setup.routes[index] if setup and index >= 0 else None
            receiver = (route.receiver or NOBODY) if route else NOBODY
            common = group_labels(route, labels) if route else {}
            by_key.setdefault((receiver, tuple(sorted(common.items()))), []).append(one)
    return [
        {"labels": dict(common), "receiver": {"name": receiver}, "alerts": members}
        for (receiver, common), members in sorted(by_key.items(), key=lambda entry: entry[0])
    ]


def silence(kept: Kept, now_ms: int) -> dict[str, Any]:
    return {
        "id": kept["id"],
        "status": {"state": silences.state(kept, now_ms)},
        "matchers": [
            {"name": m.name, "value": m.value, "isRegex": m.is_regex, "isEqual": m.is_equal}
            for m in in_force(kept["matchers"])
        ],
        "startsAt": instant(kept["starts_at"]),
        "endsAt": instant(kept["ends_at"]),
        "updatedAt": instant(kept["ts"]),
        "createdBy": kept["author"],
        "comment": kept.get("comment", ""),
    }


def silence_wanted(kept: Kept, filters: Sequence[Matcher]) -> bool:
    """A filter is held against the values that a silence's own matchers have."""
    return matches(filters, {m["name"]: m["value"] for m in kept["matchers"]})


def instant(ms: int) -> str:
    """Always with milliseconds, as Alertmanager's clients expect it."""
    text = times.iso(ms)
    return text if "." in text else text.replace("Z", ".000Z")


def _again(iso: str) -> str:
    return instant(times.instant(iso))
