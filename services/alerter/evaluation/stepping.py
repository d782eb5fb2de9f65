"""Episodes begin, go on, get worse and end: the count of them, and the event of each transition."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from services.alerter.evaluation.host import Host, Key
from services.alerter.evaluation.state import Change, Episode, Policy, Reason, Verdict
from services.alerter.evaluation.state import end as state_end
from services.alerter.evaluation.state import step as state_step
from services.alerter.evaluation.telling import FINDING, INSTANCE, SEVERITY, Teller, ended, finding_key
from services.alerter.evaluation.worsening import badness, severity_badness
from services.alerter.rules.findings import UNUSUAL
from services.alerter.rules.rule import Rule
from shared.alerting.matching import matches
from shared.runtime.selfmetrics import ALERTER_REFUSED
from shared.schemas.alert import Alert
from shared.schemas.anomaly import Anomaly

log = logging.getLogger(__name__)


class Stepper:
    """Bounded: no more than ``max_alerts`` are pending or firing at once."""

    def __init__(self, teller: Teller, max_alerts: int) -> None:
        self._teller = teller
        self._max_alerts = max_alerts
        self.open = 0
        """Alerts pending or firing."""
        self.refused = 0
        """Alerts that could not begin because there were ``max_alerts``."""

    def step(
        self,
        host: Host,
        rule: Rule,
        key: Key,
        policy: Policy,
        verdict: Verdict,
        at: int,
        value: float | None,
        stale_ms: int,
        anomaly: Anomaly | None = None,
    ) -> Iterator[Alert]:
        before = host.episodes.get(key)
        if before is None:
            if verdict is not Verdict.BEYOND:
                return
            if self.open >= self._max_alerts:
                if not self.refused:
                    log.error("too many alerts at once: no new ones begin", extra={"max_alerts": self._max_alerts})
                self.refused += 1
                ALERTER_REFUSED.add()
                return
            self.open += 1
        after, change = state_step(before, policy, verdict, at, value, stale_ms)
        if after is not None:
            host.episodes[key] = after
            if verdict is Verdict.BEYOND and after.seen_at == at:
                change = self._worse(host, rule, key, after, change, anomaly)
        if change is None:
            return
        if after is None:
            yield self.end(host, key, change)
            if change.reason is Reason.GAP and verdict is Verdict.BEYOND:
                yield from self.step(host, rule, key, policy, verdict, at, value, stale_ms, anomaly)
        else:
            left_ms = self._left_ms(host, rule, key)
            alert = self._teller.event(host, rule, key, after.started_at, change, anomaly=anomaly, left_ms=left_ms)
            host.told[key] = alert
            yield alert

    def _worse(
        self, host: Host, rule: Rule, key: Key, episode: Episode, change: Change | None, anomaly: Anomaly | None
    ) -> Change | None:
        """The change, or that it got worse where there is none; remembers how bad it was when it was told."""
        if rule.anomaly:
            bad = severity_badness(anomaly.severity) if anomaly else None
        else:
            bad = badness(rule, episode.value, self._left_ms(host, rule, key))
        if bad is None:
            return change
        told = host.badness.get(key)
        if told is None or change is not None or episode.state == "pending":
            # Of several anomalies the worst counts; of a metric, what it was when it was told.
            host.badness[key] = max(bad, told or 0.0) if rule.anomaly else bad
        elif bad >= 2 * told:
            host.badness[key] = bad
            return Change("firing", "firing", Reason.WORSE, episode.seen_at, episode.value)
        return change

    def _left_ms(self, host: Host, rule: Rule, key: Key) -> float | None:
        series = host.series.get(key) if rule.forecast else None
        return series.left_ms(rule.forecast.target) if series and rule.forecast else None

    def end(self, host: Host, key: Key, change: Change) -> Alert:
        """Forgets the episode; its last event."""
        del host.episodes[key]
        host.badness.pop(key, None)
        self.open -= 1
        return ended(host.told.pop(key), change)

    def take_up(self, host: Host, rule: Rule | None, alert: Alert, now_ms: int) -> Iterator[Alert]:
        """Go on with what was told of an alert; it ends when its rule is gone, changed, or means it no more."""
        key = (alert.rule, alert.labels.get(INSTANCE) or finding_key(alert.labels.get(FINDING, UNUSUAL)))
        if key in host.episodes:
            return
        # Other states than these are of an older alerter's topic, and were made of what fired.
        state = alert.state if alert.state == "pending" else "firing"
        # Of an anomaly that goes on nothing need be said for hours: it is as old as our hearing of it.
        seen_at = max(alert.ts, now_ms) if rule and rule.anomaly and state == "firing" else alert.ts
        episode = Episode(state, alert.started_at, alert.ts, seen_at, alert.value)
        host.episodes[key] = episode
        host.told[key] = alert
        self.open += 1
        if rule is None:
            yield self.end(host, key, state_end(episode, Reason.RULE_GONE, now_ms))
        elif (rule.condition, rule.metric_name) != (alert.labels.get("condition"), alert.labels.get("metric", "")):
            yield self.end(host, key, state_end(episode, Reason.RULE_CHANGED, now_ms))
        elif not matches(rule.match, alert.labels):
            yield self.end(host, key, state_end(episode, Reason.NOT_MEANT, now_ms))
        else:
            if rule.anomaly and alert.anomaly_id:
                host.open_anomalies.setdefault(key, set()).add(alert.anomaly_id)
            told = severity_badness(alert.annotations.get(SEVERITY, "")) if rule.anomaly else badness(rule, alert.value)
            if told is not None:
                host.badness[key] = told
