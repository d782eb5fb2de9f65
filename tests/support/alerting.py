"""Alerts, what is made of them, and an alerter's setup, as they are on the topics."""

from __future__ import annotations

import json
from typing import Any

from shared.store.port import Store
from tests.support.samples import T0


def alert(name: str = "l1", *, ts: int = T0, **more: Any) -> dict[str, Any]:
    """One that fires, on ``h1``."""
    labels = {"alertname": "disk_full", "severity": "critical", "host": "web-1", "host_id": "h1"}
    return {
        "kind": "alert",
        "event_id": f"{name}-{ts}-{more.get('state', 'firing')}",
        "ts": ts,
        "alert_id": name,
        "fingerprint": f"f-{name}",
        "host_id": "h1",
        "host": "web-1",
        "rule": "disk_full",
        "state": "firing",
        "previous_state": "pending",
        "severity": "critical",
        "labels": labels | {"condition": "metric", "metric": "disk.percent", "mountpoint": "/", "instance": "/"},
        "annotations": {"advice": "make room"},
        "value": 99.0,
        "threshold": 98.0,
        "started_at": T0,
        "summary": "disk / is full on web-1",
        **more,
    }


def attention(name: str = "l1", state: str = "acknowledged", *, ts: int = T0 + 1000, **more: Any) -> dict[str, Any]:
    return {
        "kind": "attention",
        "event_id": f"t-{name}-{ts}",
        "ts": ts,
        "alert_id": name,
        "host_id": "h1",
        "state": state,
        "reason": f"{state} by somebody",
        "by": ["user:ada"],
        **more,
    }


def delivery(name: str = "n1", *alert_ids: str, ts: int = T0 + 500, **more: Any) -> dict[str, Any]:
    return {
        "kind": "delivery",
        "event_id": f"d-{name}-{ts}",
        "ts": ts,
        "notification_id": name,
        "host_id": "h1",
        "receiver": "ops",
        "channel": "webhook",
        "status": "firing",
        "alert_ids": list(alert_ids or ("l1",)),
        "attempt": 1,
        "outcome": "delivered",
        "detail": "HTTP 200",
        **more,
    }


def matcher(name: str, value: str, **more: bool) -> dict[str, Any]:
    return {"name": name, "value": value, "is_regex": False, "is_equal": True, **more}


def setup(**more: Any) -> dict[str, Any]:
    """Two rules; a tree of three: critical alerts go to ``pager``, those of databases to ``dba`` as well."""
    rule = {
        "title": "A disk is full",
        "severity": "critical",
        "watches": "metric",
        "condition": "disk.percent above 98",
    }
    return {
        "kind": "setup",
        "event_id": "setup-1",
        "ts": T0,
        "id": "alerter",
        "rules": [
            {"name": "disk_full", "metric": "disk.percent", "source": "shipped", **rule},
            {"name": "web", **rule, "watches": "silent", "matchers": [matcher("role", "web")], "source": "mine.yaml"},
        ],
        "routes": [
            {"parent": -1, "receiver": "ops", "group_by": ["alertname"], "group_wait_ms": 30_000},
            {
                "parent": 0,
                "receiver": "dba",
                "matchers": [matcher("role", "db|cache", is_regex=True)],
                "continues": True,
                "group_by": ["alertname"],
                "quiet": ["nights"],
            },
            {
                "parent": 0,
                "receiver": "pager",
                "matchers": [matcher("severity", "critical")],
                "group_by": ["..."],
                "group_wait_ms": 0,
                "steps": [{"after_ms": 900_000, "receiver": "boss"}],
            },
        ],
        "receivers": [
            {"name": "ops", "channels": ["email"], "target": "ops@example.org", "source": "settings"},
            {
                "name": "pager",
                "channels": ["webhook"],
                "target": "https://x.example.org/T0/secret",
                "source": "settings",
            },
            {"name": "dba", "channels": ["apprise"], "target": "slack://", "source": "settings"},
        ],
        "quiet_hours": [
            {
                "name": "nights",
                "zone": "Asia/Shanghai",
                "days": [0, 1, 2, 3, 4, 5, 6],
                "begins": 900,
                "ends": 420,
                "lets_through": [matcher("severity", "critical")],
            }
        ],
        **more,
    }


async def put(store: Store, *events: dict[str, Any]) -> None:
    await store.insert_lines("landing_alerts", "\n".join(map(json.dumps, events)).encode())
