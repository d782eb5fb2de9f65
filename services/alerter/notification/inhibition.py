"""Which alerts need no message because another one says it already. Indexed by what the two must have in common, so
that a storm costs each alert a look-up, not a look at all the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.alerting.matching import matches
from shared.schemas.alert import Alert
from shared.schemas.control import InhibitRule

LINGER_MS = 120_000
"""What another alert spoke for is told by itself only when it has outlasted that one by so much: of one cause, one
thing is over a little before the other.
"""

FINDING = "finding"
"""Label of what an anomaly was about when it was told; it may change while the anomaly lasts."""

Common = tuple[str, ...]


@dataclass(slots=True)
class _Meeting:
    """Alerts that one rule means and that agree in its ``equal`` labels; dicts for their order."""

    sources: dict[str, None] = field(default_factory=dict)
    pure: dict[str, None] = field(default_factory=dict)
    """Sources that are no targets: only they inhibit what is a source itself, or two would hide each other."""
    targets: dict[str, bool] = field(default_factory=dict)
    """Alert id -> whether it is a source too."""


class Inhibition:
    def __init__(self, rules: Sequence[InhibitRule]) -> None:
        self._rules = tuple(rules)
        self._meetings: list[dict[Common, _Meeting]] = [{} for _ in rules]
        self._where: dict[str, list[tuple[int, Common]]] = {}

    def add(self, alert: Alert, *, fires: bool) -> set[str]:
        """Other alerts for which something changes. One that no longer ``fires`` inhibits nothing."""
        changed = self.remove(alert.alert_id)
        where = []
        for index, rule in enumerate(self._rules):
            source, target = matches(rule.source, alert.labels), matches(rule.target, alert.labels)
            if not ((source and fires) or target):
                continue
            common = tuple(alert.labels.get(name, "") for name in rule.equal)
            meeting = self._meetings[index].setdefault(common, _Meeting())
            where.append((index, common))
            if source and fires:
                changed |= self._begins(meeting, alert.alert_id, target)
            if target:
                meeting.targets[alert.alert_id] = source
        if where:
            self._where[alert.alert_id] = where
        return changed - {alert.alert_id}

    def remove(self, alert_id: str) -> set[str]:
        changed: set[str] = set()
        for index, common in self._where.pop(alert_id, ()):
            meeting = self._meetings[index][common]
            meeting.targets.pop(alert_id, None)
            if alert_id in meeting.sources:
                del meeting.sources[alert_id]
                was_pure = meeting.pure.pop(alert_id, alert_id) is None
                if not meeting.sources:
                    changed |= meeting.targets.keys()
                elif was_pure and not meeting.pure:
                    changed |= {i for i, also_source in meeting.targets.items() if also_source}
            if not meeting.sources and not meeting.targets:
                del self._meetings[index][common]
        return changed

    def inhibitor(self, alert_id: str) -> str:
        """An alert that speaks for this one; empty when there is none."""
        for index, common in self._where.get(alert_id, ()):
            meeting = self._meetings[index][common]
            if alert_id not in meeting.targets:
                continue
            speakers = meeting.pure if meeting.targets[alert_id] else meeting.sources
            found = next((i for i in speakers if i != alert_id), "")
            if found:
                return found
        return ""

    @staticmethod
    def _begins(meeting: _Meeting, alert_id: str, also_target: bool) -> set[str]:
        changed: set[str] = set()
        if not meeting.sources:
            changed |= meeting.targets.keys()
        if not also_target:
            if not meeting.pure:
                changed |= {i for i, also_source in meeting.targets.items() if also_source}
            meeting.pure[alert_id] = None
        meeting.sources[alert_id] = None
        return changed
