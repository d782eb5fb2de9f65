"""What is said about the monitoring itself: that it is late, of each alerter by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from services.alerter.evaluation.host import Host
from services.alerter.evaluation.late import OWN_HOST
from services.alerter.evaluation.probes import policy
from services.alerter.evaluation.state import Reason, Verdict, end
from services.alerter.evaluation.stepping import Stepper
from services.alerter.evaluation.telling import INSTANCE, applies, is_about_us
from services.alerter.rules.rule import Rule
from shared.schemas.alert import Alert

ORPHANED_AFTER_MS = 3 * 3_600_000
"""An alerter that was killed leaves "late" behind; who has that partition ends it, as nobody else will."""

ORPHANS_EVERY_MS = 600_000

Known = Callable[[str], Iterable[Alert]]
"""The newest event of each alert of a host that the alerts topic knows: of those pending or firing, and of those
that ended lately, so that what led to them and is read again does not lead to them again."""

Ours = Callable[[str], bool]
"""Whether a host's partition is assigned to this alerter."""


class Ourselves:
    def __init__(self, name: str, stepper: Stepper, known: Known, ours: Ours) -> None:
        self._name = name
        self._stepper = stepper
        self._known = known
        self._ours = ours
        self._rules: Mapping[str, Rule] = {}
        self._looked_ms = 0
        """When it was last looked for what another alerter left behind."""
        self.host = Host(OWN_HOST, OWN_HOST)

    def take(self, rules: Mapping[str, Rule]) -> None:
        """Go by these rules from now on."""
        self._rules = rules
        self._late = [r for r in rules.values() if r.late is not None]

    @property
    def late(self) -> bool:
        return any(e.state == "firing" for e in self.host.episodes.values())

    def tick(self, now_ms: int, seconds: float | None) -> list[Alert]:
        """``seconds``: how old what is judged is, ``None`` where that cannot be said."""
        return [*self._tick_late(now_ms, seconds), *self._tick_orphans(now_ms)]

    def take_up(self, alert: Alert, now_ms: int) -> Iterator[Alert]:
        """Our own from before a restart; another's, when it is our business and old."""
        if alert.state in ("resolved", "inactive"):
            return
        mine = alert.labels.get(INSTANCE) == self._name
        if mine or (self._ours(OWN_HOST) and now_ms - alert.ts > ORPHANED_AFTER_MS):
            yield from self._stepper.take_up(self.host, self._rules.get(alert.rule), alert, now_ms)
            key = (alert.rule, alert.labels.get(INSTANCE, ""))
            if not mine and key in self.host.episodes:
                yield self._stepper.end(self.host, key, end(self.host.episodes[key], Reason.ORPHANED, now_ms))

    def _tick_late(self, now_ms: int, seconds: float | None) -> Iterator[Alert]:
        for rule in self._late:
            assert rule.late is not None
            key = (rule.name, self._name)
            if seconds is None or not (key in self.host.episodes or seconds * 1000 > rule.late):
                continue
            late_ms = seconds * 1000
            verdict = Verdict.BEYOND if late_ms > rule.late else Verdict.CALM
            if verdict is Verdict.CALM and late_ms > rule.late / 2:
                verdict = Verdict.BETWEEN
            if key in self.host.episodes or applies(rule, self.host, self._name):
                yield from self._stepper.step(self.host, rule, key, policy(rule), verdict, now_ms, seconds, now_ms)

    def _tick_orphans(self, now_ms: int) -> Iterator[Alert]:
        if now_ms - self._looked_ms < ORPHANS_EVERY_MS:
            return
        self._looked_ms = now_ms
        for alert in self._known(OWN_HOST):
            if is_about_us(alert) and alert.labels.get(INSTANCE) != self._name:
                yield from self.take_up(alert, now_ms)
