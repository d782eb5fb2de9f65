"""What is firing, and what ended lately of which the end is still to be told."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.alerter.rules.rule import at_least
from shared.schemas.alert import Alert, Attention

if TYPE_CHECKING:
    from services.alerter.notification.grouping import Group

GOT_WORSE = "got worse"
"""Reason of a firing alert's event that says no more than that."""

MOST_ENDED = 200_000


@dataclass(frozen=True, slots=True)
class Hold:
    """What keeps an alert from being told, whoever the receiver is. ``ack``: who has acknowledged it."""

    silences: tuple[str, ...] = ()
    inhibitor: str = ""
    ack: str = ""
    flapping: bool = False

    @property
    def muted(self) -> bool:
        """Neither its beginning nor its end is told."""
        return bool(self.silences or self.inhibitor)


FREE = Hold()


@dataclass(slots=True, eq=False)
class Entry:
    """An alert that fires, or fired. Times are ours, epoch milliseconds, but for those within ``alert``."""

    alert: Alert
    since: int | None = None
    """When who decides saw it fire, or end."""
    worse: bool = False
    """It got worse, and when is not yet put down in ``worse_at``."""
    worse_at: int = 0
    rose_at: int = 0
    """``worse_at`` of the last time its severity rose."""
    outgrew: bool = False
    """It is worse than when somebody took it on, and so their acknowledgement holds no more."""
    attention: Attention | None = None
    muted_at: int = 0
    """When a silence, quiet hours or somebody's acknowledgement last took hold of it."""
    freed_at: int = 0
    """When another alert ceased to speak for it."""
    hold: Hold = FREE
    groups: list[Group] = field(default_factory=list)
    routed: bool = False
    leaving: bool = False

    @property
    def id(self) -> str:
        return self.alert.alert_id

    @property
    def firing(self) -> bool:
        return self.alert.state == "firing"


class Board:
    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._graves: OrderedDict[str, None] = OrderedDict()
        """Of alerts that are over and done with: an old event of theirs is no news."""
        self._of: dict[str, set[str]] = {}
        self._early: OrderedDict[str, Attention] = OrderedDict()

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    def get(self, alert_id: str) -> Entry | None:
        return self.entries.get(alert_id)

    def over(self, alert_id: str) -> bool:
        """Whether it is known to have ended, and nothing more is to be said of it."""
        return alert_id in self._graves

    @property
    def ended(self) -> int:
        """Alerts that ended and are still here."""
        return len(self._ended)

    def of(self, fingerprint: str) -> set[str]:
        """Ids of the alerts here that have it."""
        return self._of.get(fingerprint, set())

    def hear(self, alert: Alert) -> Entry | None:
        """The entry, when this is news of it."""
        known = self.entries.get(alert.alert_id)
        if alert.state == "firing":
            if known is None:
                return None if alert.alert_id in self._graves else self._put(alert)
            if not known.firing or alert.ts <= known.alert.ts:
                return None
            self._note_worse(known, alert)
            known.alert = alert
            return known
        if alert.state not in ("resolved", "inactive"):
            return None
        if known is None:
            # Where only the newest is kept of each, nothing else is heard of one that ended and was told.
            if alert.previous_state != "firing" or alert.alert_id in self._graves:
                return None
            known = self._put(alert)
        elif not known.firing:
            return None
        known.alert = alert
        known.since = None
        self._ended[alert.alert_id] = None
        return known

    def hear_attention(self, attention: Attention) -> Entry | None:
        """The entry it is about; what comes before its alert waits for it."""
        entry = self.entries.get(attention.alert_id)
        if entry is None:
            if attention.alert_id not in self._graves:
                early = self._early.get(attention.alert_id)
                if early is None or early.ts <= attention.ts:
                    self._early[attention.alert_id] = attention
                if len(self._early) > MOST_ENDED:
                    self._early.popitem(last=False)
            return None
        if entry.attention is None or attention.ts >= entry.attention.ts:
            entry.attention = attention
        if attention.state in ("suppressed", "acknowledged") and _by_people(attention):
            entry.muted_at = max(entry.muted_at, attention.ts)
        return entry

    def bury(self, alert_id: str) -> Entry | None:
        entry = self.entries.pop(alert_id, None)
        if entry is None:
            return None
        self._ended.pop(alert_id, None)
        same = self._of[entry.alert.fingerprint]
        same.discard(alert_id)
        if not same:
            del self._of[entry.alert.fingerprint]
        self._entomb(alert_id)
        return entry

    def too_many_ended(self) -> list[str]:
        """The oldest of those that ended, beyond what is kept."""
        many = len(self._ended) - MOST_ENDED
        return [alert_id for alert_id, _ in zip(self._ended, range(many), strict=False)] if many > 0 else []

    def forgotten(self) -> list[str]:
        """Ids that are older than anybody's memory; each is named once."""
        gone = []
        while len(self._graves) > MOST_ENDED:
            gone.append(self._graves.popitem(last=False)[0])
        return gone

    def _put(self, alert: Alert) -> Entry:
        entry = self.entries[alert.alert_id] = Entry(alert)
        if alert.reason == GOT_WORSE:
            entry.worse, entry.worse_at = True, alert.ts
        self._of.setdefault(alert.fingerprint, set()).add(alert.alert_id)
        if attention := self._early.pop(alert.alert_id, None):
            self.hear_attention(attention)
        return entry

    def _entomb(self, alert_id: str) -> None:
        self._graves[alert_id] = None
        self._early.pop(alert_id, None)

    @staticmethod
    def _note_worse(entry: Entry, alert: Alert) -> None:
        rose = alert.severity != entry.alert.severity and at_least(alert.severity, entry.alert.severity)
        if rose or alert.reason == GOT_WORSE:
            entry.worse = True
            entry.worse_at = alert.ts
            if rose:
                entry.rose_at = alert.ts


def _by_people(attention: Attention) -> bool:
    return any(by.startswith(("silence:", "quiet:", "user:")) for by in attention.by)
