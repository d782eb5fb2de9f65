"""A notification as a mail: subject, text, HTML with a chart, in English or Chinese."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from services.alerter.delivery.brevity import clip, one_line
from services.alerter.delivery.webhook_body import dashboard_link
from services.alerter.evaluation.wording import duration, instant, quantity
from services.alerter.evidence.port import Gathered, LogLine, Similar
from services.alerter.notification.notification import Notification
from services.alerter.rules.findings import UNUSUAL
from services.alerter.rules.rule import Language
from shared.alerting.links import Action
from shared.schemas.alert import Alert

HERE = Path(__file__).with_name("templates")
MOST_SHOWN = 20
"""Alerts that are named, those that fire first; the rest are counted."""

IN_FULL = 3
"""Of those: with everything there is to say."""

_MOST_WORDS = 2000
_MOST_LINE = 300
_MOST_LINES = 10
_MOST_LABEL = 256

_COLOURS = {"info": "#2f6fb0", "warning": "#a86510", "critical": "#c0362c", "resolved": "#2f855a", "grey": "#52606d"}
_SHOWN_LABELS = {"alertname", "severity", "host", "host_id", "condition", "metric", "instance"}
_UNIT_OF = {"silent": "seconds", "absent": "seconds", "late": "seconds", "anomaly": ""}
_SAID_AS = {"silent": "heard", "absent": "missing", "late": "behind", "anomaly": "score"}

LinkTo = Callable[[Action, Alert], str]
"""A URL that acts without a login."""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """What was gathered about one alert, and its chart: the picture and its content id."""

    gathered: Gathered = field(default_factory=Gathered)
    chart: bytes = b""
    cid: str = ""


@dataclass(frozen=True, slots=True)
class Mail:
    subject: str
    text: str
    html: str


def context_of(
    notification: Notification,
    language: Language,
    external_url: str | None,
    exhibits: Mapping[str, Exhibit] | None = None,
    link: LinkTo | None = None,
) -> dict[str, Any]:
    """What templates see. ``exhibits``: alert id -> what is shown beside it."""
    words = _words(language)
    about = notification.news or notification.resolved or notification.known
    kind = "resolved" if about == notification.resolved else notification.severity
    return {
        "words": words,
        "language": language,
        "receiver": notification.receiver,
        "note": clip(notification.note, _MOST_WORDS),
        "status": notification.status,
        "severity": notification.severity,
        "state": words["state"][kind],
        "colour": _COLOURS["grey" if notification.occasion == "trial" else kind],
        "in_full": IN_FULL,
        "group_labels": {k: clip(v, _MOST_LABEL) for k, v in notification.group_labels.items()},
        **_occasion(notification, words),
        **_headline(notification, about, words),
        **_lists(notification, words, external_url, exhibits or {}, link),
    }


def _occasion(notification: Notification, words: Mapping[str, Any]) -> dict[str, str]:
    messages, held = notification.held_back
    return {
        "occasion": notification.occasion,
        "occasion_words": words["occasion"][notification.occasion].format(messages=messages, alerts=held),
        "prefix": words["prefix"].get(notification.occasion, ""),
    }


def _headline(notification: Notification, about: Sequence[Alert], words: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in the subject: the first of what it is ``about``, and how many there are beside it."""
    titles = dict.fromkeys(_title(a) for a in about)
    return {
        "title": clip(next(iter(titles), words["nothing"]), _MOST_LABEL),
        "other_titles": max(0, len(titles) - 1),
        "where": clip(_where(about[0]), _MOST_LABEL) if about else "",
        "more": max(0, len(about) - 1),
        "ended_too": len(notification.resolved) if notification.news else 0,
        "known_too": 0 if about == notification.known else len(notification.known),
    }


def _lists(
    notification: Notification,
    words: Mapping[str, Any],
    external_url: str | None,
    exhibits: Mapping[str, Exhibit],
    link: LinkTo | None,
) -> dict[str, Any]:
    """The alerts that are named: what is new, then what is over, then what is known and goes on."""
    advised: set[str] = set()

    def described(alerts: Sequence[Alert], most: int, *, ended: bool = False) -> list[dict[str, Any]]:
        return [
            _facts(a, words, external_url, exhibits.get(a.alert_id, Exhibit()), link, advised, ended=ended)
            for a in alerts[:most]
        ]

    news = described(notification.news, MOST_SHOWN)
    over = described(notification.resolved, MOST_SHOWN - len(news), ended=True)
    known = described(notification.known, MOST_SHOWN - len(news) - len(over))
    return {
        "firing": [*news, *known],
        "news": news,
        "known": known,
        "resolved": over,
        "hidden": max(0, len(notification.alerts) - MOST_SHOWN),
    }


def render(context: Mapping[str, Any], lead: str = "") -> Mail:
    """Our own templates. ``lead``: text of somebody else's that comes before ours in the HTML."""
    environment = _environment()
    full = {**context, "lead": lead.splitlines()}
    return Mail(
        *(environment.get_template(name).render(full) for name in ("subject.txt.j2", "mail.txt.j2", "mail.html.j2"))
    )


def short_text(context: Mapping[str, Any]) -> tuple[str, str]:
    """Title and body for a chat."""
    environment = _environment()
    return tuple(environment.get_template(n).render(context) for n in ("subject.txt.j2", "chat.txt.j2"))  # type: ignore[return-value]


def shortened(notification: Notification) -> bool:
    """Whether some of its texts are too long to be shown whole."""
    return any(len(text) > _MOST_WORDS for a in notification.alerts for text in a.annotations.values())


def _facts(
    alert: Alert,
    words: Mapping[str, Any],
    external_url: str | None,
    exhibit: Exhibit,
    link: LinkTo | None,
    advised: set[str],
    *,
    ended: bool,
) -> dict[str, Any]:
    until = (alert.ended_at or alert.ts) if ended else None
    said = {k: clip(v, _MOST_WORDS) for k, v in alert.annotations.items()}
    advice = "" if ended or said.get("advice", "") in advised else said.get("advice", "")
    advised.add(advice)
    return {
        **_what(alert, words["state"], "resolved" if ended else alert.severity),
        **_how_much(alert, words, exhibit),
        "since": instant(alert.started_at),
        "until": instant(until) if until else "",
        "lasted": duration((until or alert.ts) - alert.started_at),
        "so_long": _so_long(words, (until or alert.ts) - alert.started_at),
        "description": said.get("description", ""),
        "advice": advice,
        "contributions": _lines(said.get("contributions", "")),
        "processes": _lines(said.get("top_processes", "") or "\n".join(exhibit.gathered.processes)),
        "annotations": said,
        "logs": [_log_line(line) for line in exhibit.gathered.logs],
        "link": dashboard_link(alert, external_url) if external_url else "",
        "ack": link("ack", alert) if link and not ended else "",
        "silence": link("silence", alert) if link and not ended else "",
        "normal": link("normal", alert) if link and alert.anomaly_id else "",
    }


def _what(alert: Alert, states: Mapping[str, str], kind: str) -> dict[str, Any]:
    """What, where and how bad; ``kind`` is what it is coloured by."""
    instance = alert.labels.get("instance", "")
    return {
        "alert_id": alert.alert_id,
        "title": clip(_title(alert), _MOST_LABEL),
        "host": clip(alert.host, _MOST_LABEL),
        "host_id": alert.host_id,
        "instance": clip(instance, _MOST_LABEL),
        "where": clip(_where(alert), _MOST_LABEL),
        "state": states[kind],
        "severity": alert.severity,
        "colour": _COLOURS[kind],
        "summary": clip(alert.summary, _MOST_WORDS),
        "labels": [
            [clip(k, _MOST_LABEL), clip(v, _MOST_LABEL)]
            for k, v in sorted(alert.labels.items())
            if k not in _SHOWN_LABELS and v != instance
        ],
    }


def _how_much(alert: Alert, words: Mapping[str, Any], exhibit: Exhibit) -> dict[str, Any]:
    """Values, now and otherwise, and their chart."""
    condition, seen = alert.labels.get("condition", ""), exhibit.gathered
    # A finding has words; how far a score is from its limit tells nobody anything beside them.
    named = condition == "anomaly" and alert.labels.get("finding", UNUSUAL) != UNUSUAL
    metric = _UNIT_OF.get(condition, alert.labels.get("metric", ""))

    def said(value: float | None) -> str:
        return "" if named else _value(words, condition, metric, value)

    return {
        "metric": clip(alert.labels.get("metric", ""), _MOST_LABEL),
        "value": said(alert.value),
        "threshold": "" if named or alert.threshold is None else quantity(metric, alert.threshold),
        "expected": _expected(seen),
        "similar": _similar(words, seen.similar, said),
        "cid": exhibit.cid,
        "chart_of": clip(" ".join(filter(None, (seen.metric, seen.instance))), _MOST_LABEL),
    }


def _log_line(line: LogLine) -> dict[str, str]:
    return {
        "at": instant(line.ts).split()[1],
        "level": line.level,
        "source": clip(line.source, 60),
        "message": clip(line.message, _MOST_LINE),
    }


def _so_long(words: Mapping[str, Any], ms: int) -> str:
    """Not a word of what has only begun."""
    return f" ({words['lasted'].format(time=duration(ms))})" if ms >= 1000 else ""


def _value(words: Mapping[str, Any], condition: str, metric: str, value: float | None) -> str:
    if value is None:
        return ""
    text = quantity(metric, value)
    return str(words[_SAID_AS[condition]].format(value=text)) if condition in _SAID_AS else text


def _expected(seen: Gathered) -> str:
    if seen.expected is None:
        return ""
    low, high = (quantity(seen.metric, v) for v in seen.expected)
    return f"{low} – {high}"


def _similar(words: Mapping[str, Any], before: Similar | None, said: Callable[[float | None], str]) -> str:
    if before is None:
        return ""
    lasted = duration(before.ended_at - before.started_at) if before.ended_at else "?"
    text = words["similar"].format(at=instant(before.started_at), time=lasted)
    value = said(before.value)
    return f"{text} ({value})" if value else str(text)


def _title(alert: Alert) -> str:
    return alert.annotations.get("title") or alert.rule


def _where(alert: Alert) -> str:
    return alert.host + (f" {alert.labels['instance']}" if alert.labels.get("instance") else "")


def _lines(text: str) -> list[str]:
    return [clip(line, _MOST_LINE) for line in text.splitlines()[:_MOST_LINES]]


def _on_one_line(value: Any) -> Any:
    """But what a macro of ours made: in it, this was done already."""
    return one_line(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE),
        extensions=["jinja2.ext.loopcontrols"],
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=StrictUndefined,
        finalize=_on_one_line,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _words(language: Language) -> Mapping[str, Any]:
    words: Mapping[str, Any] = yaml.safe_load((HERE / f"{language}.yaml").read_text("utf-8"))
    return words
