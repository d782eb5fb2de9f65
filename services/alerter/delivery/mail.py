"""A notification as a mail: subject, text, HTML, in English or Chinese."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from services.alerter.evaluation.wording import duration, instant, quantity
from services.alerter.notification.notification import Notification
from services.alerter.rules.rule import Language
from shared.schemas.alert import Alert

HERE = Path(__file__).with_name("templates")
MOST_SHOWN = 20
"""Alerts shown in full; the rest are counted."""

_COLOURS = {"info": "#2f6fb0", "warning": "#b7791f", "critical": "#c0362c"}
_RESOLVED = "#2f855a"
_SHOWN_LABELS = {"alertname", "severity", "host", "host_id", "condition", "metric", "instance"}


@dataclass(frozen=True, slots=True)
class Mail:
    subject: str
    text: str
    html: str


def render(notification: Notification, language: Language, external_url: str | None) -> Mail:
    words = _words(language)
    first = notification.alerts[0]
    firing = notification.status == "firing"
    title = first.annotations.get("title", notification.rule)
    where = first.host + (f" {first.labels['instance']}" if "instance" in first.labels else "")
    more = len(notification.alerts) - 1
    context: dict[str, Any] = {
        "words": words,
        "language": language,
        "firing": firing,
        "state": words["state"][notification.severity if firing else "resolved"],
        "colour": _COLOURS[notification.severity] if firing else _RESOLVED,
        "title": title,
        "where": where,
        "more": more,
        "advice": first.annotations.get("advice", "") if firing else "",
        "alerts": [_facts(a, external_url) for a in notification.alerts[:MOST_SHOWN]],
        "hidden": max(0, len(notification.alerts) - MOST_SHOWN),
    }
    environment = _environment()
    return Mail(
        *(environment.get_template(name).render(context) for name in ("subject.txt.j2", "mail.txt.j2", "mail.html.j2"))
    )


def _facts(alert: Alert, external_url: str | None) -> dict[str, Any]:
    metric = {"silent": "seconds", "anomaly": ""}.get(alert.labels.get("condition", ""), alert.labels.get("metric", ""))
    ended = alert.ended_at if alert.state == "resolved" else None
    query = urlencode({"host": alert.host_id, "alert": alert.alert_id})
    return {
        "host": alert.host,
        "instance": alert.labels.get("instance", ""),
        "summary": alert.summary,
        "metric": alert.labels.get("metric", ""),
        "value": quantity(metric, alert.value),
        "threshold": quantity(metric, alert.threshold),
        "since": instant(alert.started_at),
        "until": instant(ended) if ended else "",
        "lasted": duration((ended or alert.ts) - alert.started_at),
        "description": alert.annotations.get("description", ""),
        "contributions": alert.annotations.get("contributions", "").splitlines(),
        "processes": alert.annotations.get("top_processes", "").splitlines(),
        "labels": sorted((k, v) for k, v in alert.labels.items() if k not in _SHOWN_LABELS),
        "link": f"{external_url.rstrip('/')}/?{query}" if external_url else "",
    }


def one_line(text: str) -> str:
    """Without line ends and control characters: host names and labels come from far away."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=StrictUndefined,
        finalize=lambda value: one_line(value) if isinstance(value, str) else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _words(language: Language) -> Mapping[str, Any]:
    words: Mapping[str, Any] = yaml.safe_load((HERE / f"{language}.yaml").read_text("utf-8"))
    return words
