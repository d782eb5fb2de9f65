"""Who was told what, from the deliveries on the topic: in whatever order they are read, the same picture."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.alerter.notification.notification import Notification, Status
from shared.schemas.alert import Delivery, Occasion

MOST_ANSWERS = 10_000

_NOBODY: Mapping[str, Told] = {}


@dataclass(slots=True)
class Debt:
    """What one way to tell a receiver did not take, while another did; epoch milliseconds."""

    failed_at: int
    aloft_until: int = 0
    """Until then somebody is at it, and will say how it ended."""


@dataclass(slots=True)
class Told:
    """One receiver about one alert; epoch milliseconds, 0: never."""

    first_at: int = 0
    """The first attempt."""
    told_at: int = 0
    """The last time that the receiver took it as firing."""
    over: bool = False
    """Its end was told, or refused for good."""
    flapping: bool = False
    gave_up_at: int = 0
    refused_at: int = 0
    escalations: tuple[str, ...] = ()
    aloft: str = ""
    """The notification under way about it."""
    debts: dict[str, Debt] | None = None
    """Channel -> what it owes of this alert, where a receiver has several."""
    takers: tuple[str, ...] = ()
    """Of those, the channels that told it as firing."""
    group_key: str = ""

    @property
    def knows(self) -> bool:
        """It was told of its beginning and not of its end."""
        return self.told_at > 0 and not self.over


@dataclass(slots=True)
class _Answers:
    """Of the channels of a receiver to one notification."""

    taken: bool = False
    refused: set[str] = field(default_factory=set)
    all_at: int = 0
    """When the last of them refused it; what comes later answers another try."""


class Ledger:
    def __init__(self) -> None:
        self._told: dict[str, dict[str, Told]] = {}
        self._answers: OrderedDict[str, _Answers] = OrderedDict()
        self._spoke: dict[tuple[str, str], tuple[int, Status]] = {}

    def get(self, alert_id: str, receiver: str) -> Told | None:
        row = self._told.get(alert_id)
        return row.get(receiver) if row else None

    def of(self, alert_id: str) -> Mapping[str, Told]:
        """Receiver -> what it knows."""
        return self._told.get(alert_id, _NOBODY)

    def put(self, alert_id: str, receiver: str) -> Told:
        return self._told.setdefault(alert_id, {}).setdefault(receiver, Told())

    def spoke(self, receiver: str, group_key: str, at: int, status: Status) -> None:
        key = (receiver, group_key)
        if key not in self._spoke or at >= self._spoke[key][0]:
            self._spoke[key] = (at, status)

    def spoken(self, receiver: str, group_key: str, now: int) -> int | None:
        """When a message of this group last went to it, unless that one said that all is over. What went out by a
        clock that is ahead of ours went out now.
        """
        last = self._spoke.get((receiver, group_key))
        if last and last[0] > now:
            last = self._spoke[receiver, group_key] = (now, last[1])
        return last[0] if last and last[1] == "firing" else None

    def hear(self, delivery: Delivery) -> None:
        for alert_id in delivery.alert_ids:
            told = self.put(alert_id, delivery.receiver)
            told.first_at = min(told.first_at or delivery.ts, delivery.ts)
            over = alert_id in delivery.resolved_ids or (not delivery.resolved_ids and delivery.status == "resolved")
            if delivery.outcome == "delivered":
                self._delivered(told, delivery, over)
        if delivery.outcome == "delivered":
            self._answers_to(delivery.notification_id).taken = True
            self.spoke(delivery.receiver, delivery.group_key, delivery.ts, delivery.status)

    def owe(self, delivery: Delivery, patience: int) -> None:
        """For a receiver with several ways, each of which is to tell what fires, and its end where it told that.
        ``patience``: milliseconds that an attempt may take.
        """
        for alert_id in delivery.alert_ids:
            told = self.put(alert_id, delivery.receiver)
            fires = delivery.status == "firing" and alert_id not in delivery.resolved_ids
            if delivery.outcome in ("delivered", "permanent_failure"):
                if told.debts:
                    told.debts.pop(delivery.channel, None)
                if fires and delivery.outcome == "delivered" and delivery.channel not in told.takers:
                    told.takers += (delivery.channel,)
            elif _owes(fires, delivery.channel in told.takers, delivery.occasion):
                told.debts = told.debts or {}
                debt = told.debts.setdefault(delivery.channel, Debt(delivery.ts))
                debt.failed_at = max(debt.failed_at, delivery.ts)
                retried = delivery.outcome == "temporary_failure"
                debt.aloft_until = (delivery.next_attempt_at or delivery.ts) + patience if retried else 0

    def tries(self, notification: Notification, until: int) -> None:
        """Somebody is at it, by one way or by all."""
        for alert in notification.alerts:
            told = self.get(alert.alert_id, notification.receiver)
            for channel, debt in (told.debts or {}).items() if told else ():
                if notification.channel in ("", channel):
                    debt.aloft_until = until

    def nobody_tries(self) -> None:
        """Whoever was at it before is so no more."""
        for row in self._told.values():
            for told in row.values():
                for debt in (told.debts or {}).values():
                    debt.aloft_until = 0

    def begins(self, notification_id: str) -> None:
        """All channels are asked, again perhaps."""
        self._answers.pop(notification_id, None)

    def refused_by_all(self, delivery: Delivery, ways: int) -> bool:
        """Whether with this refusal none of the ``ways`` to tell its receiver is left, and none of them took it."""
        if delivery.channel == "none":
            return True
        answers = self._answers_to(delivery.notification_id)
        if answers.taken:
            return False
        if answers.all_at and delivery.ts > answers.all_at:
            answers.refused, answers.all_at = set(), 0
        answers.refused.add(delivery.channel)
        if len(answers.refused) < ways:
            return False
        answers.all_at = delivery.ts
        return True

    def failed(self, delivery: Delivery) -> None:
        """No channel of the receiver took it."""
        for alert_id in delivery.alert_ids:
            told = self.put(alert_id, delivery.receiver)
            if delivery.outcome == "gave_up":
                told.gave_up_at = max(told.gave_up_at, delivery.ts)
            elif alert_id in delivery.resolved_ids or delivery.status == "resolved":
                told.over = True
            else:
                told.refused_at = max(told.refused_at, delivery.ts)

    def forget(self, alert_id: str) -> None:
        self._told.pop(alert_id, None)

    def sweep(self, before: int) -> None:
        """Forgets groups that have not spoken since."""
        self._spoke = {key: last for key, last in self._spoke.items() if last[0] >= before}

    @property
    def groups(self) -> int:
        return len(self._spoke)

    def _answers_to(self, notification_id: str) -> _Answers:
        answers = self._answers.setdefault(notification_id, _Answers())
        if len(self._answers) > MOST_ANSWERS:
            self._answers.popitem(last=False)
        return answers

    @staticmethod
    def _delivered(told: Told, delivery: Delivery, over: bool) -> None:
        if over:
            told.over = True
        else:
            told.told_at = max(told.told_at, delivery.ts)
            told.group_key = delivery.group_key
        told.flapping |= delivery.occasion == "flapping"
        if delivery.occasion == "escalation" and delivery.notification_id not in told.escalations:
            told.escalations += (delivery.notification_id,)


def _owes(fires: bool, took: bool, occasion: Occasion) -> bool:
    """Whether a way that failed owes it; ``took``: it told the beginning, and "changed" is then of others."""
    if fires:
        return not took or occasion != "changed"
    return took
