"""A notification: one message to one receiver about the alerts of one group."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from shared.schemas.alert import Alert, Occasion
from shared.schemas.anomaly import Severity

Status = Literal["firing", "resolved"]


@dataclass(frozen=True, slots=True)
class Notification:
    """``at``: when it was decided, epoch milliseconds. ``held_back``: what a digest stands for: messages, alerts.
    ``told_before``: so many of what fires, the last ones, the receiver knows; they are there for the others' sake.
    """

    receiver: str
    occasion: Occasion
    group_key: str
    group_labels: Mapping[str, str]
    firing: tuple[Alert, ...]
    resolved: tuple[Alert, ...] = ()
    at: int = 0
    note: str = ""
    held_back: tuple[int, int] = (0, 0)
    told_before: int = 0
    ids: tuple[str, ...] = field(default=(), compare=False)
    """Alerts it settles beyond those it shows."""
    channel: str = ""
    """The only way by which it is told; all of them, where none is named."""
    trial: str = ""
    """The trial it answers, which gives it its id."""
    _id: list[str] = field(default_factory=list, init=False, repr=False, compare=False)
    """Once it was asked for: of ten thousand alerts it is not worked out twice."""

    @property
    def id(self) -> str:
        """The same alerts told for the same reason make the same id, so that a repeat can be recognised."""
        if self.trial:
            return self.trial
        if not self._id:
            self._id.append(self._digest())
        return self._id[0]

    def _digest(self) -> str:
        again = (str(self.at),) if self.occasion in ("repeat", "digest", "escalation", "worsened") else ()
        parts = (
            self.receiver,
            self.occasion,
            self.group_key,
            *again,
            *sorted(f"+{a.alert_id}" for a in self.firing),
            *sorted(f"-{a.alert_id}" for a in self.resolved),
        )
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]

    @property
    def status(self) -> Status:
        """``firing`` while any of it fires, as Alertmanager has it."""
        return "firing" if self.firing else "resolved"

    @property
    def alerts(self) -> tuple[Alert, ...]:
        return self.firing + self.resolved

    @property
    def news(self) -> tuple[Alert, ...]:
        """Of what fires."""
        return self.firing[: len(self.firing) - self.told_before]

    @property
    def known(self) -> tuple[Alert, ...]:
        """Of what fires."""
        return self.firing[len(self.firing) - self.told_before :]

    @property
    def severity(self) -> Severity:
        """The worst of what is new, else of what fires, else of what is over."""
        order = get_args(Severity)
        return max((a.severity for a in self.news or self.firing or self.resolved), key=order.index, default="info")
