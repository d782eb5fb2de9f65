"""Transitions as events: labels, words and evidence of an alert."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from services.alerter.evaluation.host import Host, Key
from services.alerter.evaluation.late import OWN_HOST
from services.alerter.evaluation.state import Change, Reason
from services.alerter.evaluation.wording import (
    MOST_CONTRIBUTIONS,
    contributions,
    duration,
    found,
    process,
    quantity,
    sentence,
)
from services.alerter.rules.findings import FINDINGS, UNUSUAL
from services.alerter.rules.rule import Language, Rule
from shared.alerting.matching import matches
from shared.schemas.alert import Alert
from shared.schemas.anomaly import Anomaly
from shared.schemas.metrics import BY_NAME

INSTANCE = "instance"
FINDING = "finding"
"""Label of what an anomaly was about when it was told; it may change while the anomaly lasts."""

SEVERITY = "anomaly_severity"
"""Annotation: of the anomaly, which may be worse than the rule's."""

_MOST_LABEL = 256


@dataclass(frozen=True)
class Teller:
    language: Language
    silent_after_ms: int

    def event(
        self,
        host: Host,
        rule: Rule,
        key: Key,
        started_at: int,
        change: Change,
        *,
        anomaly: Anomaly | None = None,
        left_ms: float | None = None,
    ) -> Alert:
        """``left_ms``: of a forecast, until its target."""
        previous = host.told.get(key)
        fingerprint = previous.fingerprint if previous else _digest(rule.name, host.host_id, key[1])
        alert_id = _digest(fingerprint, str(started_at))
        alert_labels = labels(rule, host, key[1])
        if anomaly is not None:
            alert_labels[FINDING] = anomaly.finding
        elif previous is not None and FINDING in previous.labels:
            alert_labels[FINDING] = previous.labels[FINDING]
        evidence = _evidence(anomaly, self.language) if anomaly else previous.annotations if previous else {}
        finding = alert_labels.get(FINDING, UNUSUAL)
        title = self._title(rule, finding)
        # What was found has words of its own; of the rest, its number is all there is to say.
        own = "" if finding == UNUSUAL else evidence.get("description", "")
        summary = own or self._sentence(host, rule, key[1], change.value, left_ms, title)
        annotations = {**evidence, "summary": summary, "title": title, "advice": self._advice(rule, finding)}
        suffix = f":{change.at}" if change.reason is Reason.WORSE else ""
        return Alert(
            event_id=f"{alert_id}:{change.state}{suffix}",
            ts=change.at,
            alert_id=alert_id,
            fingerprint=fingerprint,
            host_id=host.host_id,
            host=host.name,
            rule=rule.name,
            state=change.state,
            previous_state=change.previous,
            severity=rule.severity,
            labels=alert_labels,
            annotations={k: v for k, v in annotations.items() if v},
            value=change.value,
            threshold=self._threshold(rule),
            started_at=started_at,
            ended_at=change.ended_at,
            summary=summary[:1024],
            reason=str(change.reason),
            anomaly_id=anomaly.anomaly_id if anomaly else previous.anomaly_id if previous else "",
        )

    def _title(self, rule: Rule, finding: str) -> str:
        """What was found, where the rule could not know when it was written."""
        if rule.anomaly and not rule.anomaly.findings and finding in FINDINGS and finding != UNUSUAL:
            return FINDINGS[finding][self.language].title
        return rule.texts(self.language).title

    def _advice(self, rule: Rule, finding: str) -> str:
        """The rule's own, or else what is known of what was found."""
        own = rule.texts(self.language).advice
        if own or not rule.anomaly:
            return own
        return FINDINGS[finding if finding in FINDINGS else UNUSUAL][self.language].advice

    def _threshold(self, rule: Rule) -> float | None:
        if rule.forecast:
            return rule.forecast.target
        if rule.anomaly:
            return max(1.0, rule.anomaly.score)
        if rule.absent:
            return rule.absent.after / 1000
        if rule.late is not None:
            return rule.late / 1000
        return rule.threshold if rule.metric else rule.silent_after_ms(self.silent_after_ms) / 1000

    def _sentence(
        self, host: Host, rule: Rule, instance: str, value: float | None, left_ms: float | None, title: str
    ) -> str:
        unit = rule.metric_name if rule.metric or rule.forecast else "" if rule.anomaly else "seconds"
        return sentence(
            self.language,
            rule.condition,
            title=title,
            host=host.name,
            where="" if rule.anomaly or rule.condition == "silent" else instance,
            value=quantity(unit, value),
            threshold=quantity(unit, self._threshold(rule)),
            left="?" if left_ms is None else duration(left_ms),
            metric=rule.metric_name,
        )


def ended(last: Alert, change: Change) -> Alert:
    """The last event of an alert repeats what the one before said of it."""
    return last.model_copy(
        update={
            "event_id": f"{last.alert_id}:{change.state}",
            "ts": change.at,
            "state": change.state,
            "previous_state": change.previous,
            "value": last.value if change.value is None else change.value,
            "ended_at": change.ended_at,
            "reason": str(change.reason),
        }
    )


def labels(rule: Rule, host: Host, instance: str) -> dict[str, str]:
    """What rules match on and receivers route by: the host's own labels, then the rule's, then ours."""
    ours = {
        "alertname": rule.name,
        "severity": rule.severity,
        "host": host.name,
        "host_id": host.host_id,
        "condition": rule.condition,
    }
    if rule.metric_name:
        ours["metric"] = rule.metric_name
        if label := BY_NAME[rule.metric_name].label:
            ours[label] = instance
    if instance and not rule.anomaly:
        ours[INSTANCE] = instance
    theirs = {k[:_MOST_LABEL]: v[:_MOST_LABEL] for k, v in host.labels.items()}
    return {**theirs, **rule.labels, **ours}


def finding_key(finding: str) -> str:
    """What tells a host's anomalies apart; nothing does of those that have no name."""
    return "" if finding == UNUSUAL else finding


def applies(rule: Rule, host: Host, instance: str) -> bool:
    """Whether the rule's matchers mean it."""
    return not rule.match or matches(rule.match, labels(rule, host, instance))


def is_about_us(alert: Alert) -> bool:
    return alert.host_id == OWN_HOST and alert.labels.get("condition") == "late"


@lru_cache(maxsize=4096)
def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _evidence(anomaly: Anomaly, language: Language) -> dict[str, str]:
    """What the detector found, in words."""
    processes = [
        process(language, p.name, p.pid, p.cpu_percent, p.memory_percent)
        for p in anomaly.top_processes[:MOST_CONTRIBUTIONS]
    ]
    return {
        "description": found(language, anomaly),
        SEVERITY: anomaly.severity,
        "contributions": "\n".join(contributions(language, anomaly)),
        "top_processes": "\n".join(processes),
    }
