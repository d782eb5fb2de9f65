"""Somebody wants to see whether a receiver works: something harmless, at once, and only while they wait for it."""

from __future__ import annotations

from collections import OrderedDict

from services.alerter.notification.notification import Notification
from shared.schemas.alert import Alert
from shared.schemas.control import Trial

FRESH_MS = 300_000
_REMEMBERED = 1000


class Trials:
    def __init__(self) -> None:
        self._asked: OrderedDict[str, Trial] = OrderedDict()
        self._answered: OrderedDict[str, None] = OrderedDict()

    def put(self, trial: Trial) -> None:
        if trial.id not in self._answered:
            self._asked[trial.id] = trial
            if len(self._asked) > _REMEMBERED:
                self._asked.popitem(last=False)

    def drop(self, trial_id: str) -> None:
        self._asked.pop(trial_id, None)

    def answered(self, trial_id: str) -> None:
        self._asked.pop(trial_id, None)
        self._answered[trial_id] = None
        if len(self._answered) > _REMEMBERED:
            self._answered.popitem(last=False)

    @property
    def any(self) -> bool:
        return bool(self._asked)

    def take(self, now: int) -> list[Notification]:
        """Each once; one that was asked for long ago interests nobody."""
        asked, self._asked = self._asked, OrderedDict()
        found = []
        for trial in asked.values():
            self.answered(trial.id)
            if now - trial.ts <= FRESH_MS:
                found.append(_message(trial, now))
        return found


def _message(trial: Trial, now: int) -> Notification:
    text = "This is a test. If you can read it, alerts will reach you."
    labels = {"alertname": "lapwing_test", "severity": "info", "host": "lapwing-test", "condition": "test"}
    alert = Alert(
        event_id=f"{trial.id}:test"[:128],
        ts=now,
        alert_id=trial.id,
        fingerprint="7e57000000000000",
        host_id="lapwing-test",
        host="lapwing-test",
        rule="lapwing_test",
        state="firing",
        previous_state="inactive",
        severity="info",
        labels=labels,
        annotations={"summary": text, "title": "Test notification", "advice": text},
        started_at=now,
        summary=text,
    )
    return Notification(
        trial.receiver, "trial", "{}:{trial}", {"alertname": "lapwing_test"}, (alert,), at=now, trial=trial.id
    )
