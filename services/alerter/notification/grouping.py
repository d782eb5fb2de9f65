"""One incident, one message: Alertmanager's groups, with its waits and words. Pure, epoch milliseconds given.

What is to be said of one alert to one receiver, and from when on, is ``standing``; a group speaks as soon as one of its
alerts has something to say, and then says all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from services.alerter.notification import inhibition
from services.alerter.notification.board import Entry
from services.alerter.notification.escalation import next_step
from services.alerter.notification.ledger import Ledger, Told
from services.alerter.notification.notification import Notification
from shared.schemas.alert import Alert, Occasion
from shared.schemas.anomaly import Severity
from shared.schemas.control import RouteEntry

DIGEST = "{}:{digest}"
_SEVERITIES = get_args(Severity)

MOST_ALERTS = 10_000
"""In one message; the others follow in the next."""

LEAST_PAUSE_MS = 60_000
"""Before what was given up is tried anew, where the group's own interval is shorter."""

Saying = Literal["fresh", "flap", "worse", "again", "still", "over", "nothing", "done"]
"""``still``: only for the sake of the others, until it is to be repeated. ``done``: never anything again."""


@dataclass(slots=True, eq=False)
class Group:
    """``resolves_only``: of a receiver that no route names for its alerts any more, or that was told by escalation."""

    place: tuple[int | str, ...]
    key: str
    route: RouteEntry
    labels: Mapping[str, str]
    resolves_only: bool = False
    members: dict[str, Entry] = field(default_factory=dict)
    due: int | None = None

    @property
    def receiver(self) -> str:
        return self.route.receiver


@dataclass(slots=True)
class Talk:
    """What a group has to say now. ``due``: whether anything of it cannot wait; ``next``: when to look again."""

    due: bool = False
    at: int = 0
    """Since when the first of it is due: the same for whoever decides."""
    next: int | None = None
    fresh: list[Entry] = field(default_factory=list)
    flap: list[Entry] = field(default_factory=list)
    worse: list[Entry] = field(default_factory=list)
    again: list[Entry] = field(default_factory=list)
    still: list[Entry] = field(default_factory=list)
    partly: set[str] = field(default_factory=set)
    """Of ``still``, what some way to tell the receiver did not take yet."""
    over: list[Entry] = field(default_factory=list)
    escalate: dict[int, list[Entry]] = field(default_factory=dict)
    """Step -> what to tell of."""
    escalate_at: dict[int, int] = field(default_factory=dict)

    @property
    def news(self) -> list[Entry]:
        """What fires and was not said yet."""
        return [*self.fresh, *self.worse, *self.again]


Quiet = Callable[[Entry, Group], bool]


class Grouping:
    def __init__(
        self, ledger: Ledger, quiet: Quiet, hushed: Callable[[Entry, str], bool], sends_resolved: Callable[[str], bool]
    ) -> None:
        """``hushed``: whether the receiver was told already that it flaps."""
        self._ledger = ledger
        self._quiet = quiet
        self._hushed = hushed
        self._sends_resolved = sends_resolved

    def floor(self, group: Group, now: int) -> int:
        """Before this a group that has spoken is not to speak again."""
        spoken = self._ledger.spoken(group.receiver, group.key, now)
        return 0 if spoken is None else spoken + group.route.group_interval_ms

    def standing(self, entry: Entry, group: Group, floor: int) -> tuple[Saying, int]:
        """What is to be said, and from when on; ``nothing`` waits for something to happen."""
        told = self._ledger.get(entry.id, group.receiver)
        if told is not None and told.aloft:
            return "nothing", 0
        if not entry.firing:
            return self._ended(entry, group, told, floor)
        hold, route = entry.hold, group.route
        if group.resolves_only or hold.muted or hold.ack or self._quiet(entry, group):
            return "nothing", 0
        if hold.flapping and self._hushed(entry, group.receiver):
            return "nothing", 0
        since = entry.since or 0
        freed = entry.freed_at and entry.freed_at + inhibition.LINGER_MS
        if told is None or not told.told_at:
            at = max(since + route.group_wait_ms, freed, floor, _retry(told, route))
            return ("flap" if hold.flapping else "fresh"), at
        if _worse_since(entry, told):
            return "worse", max(entry.worse_at, floor, _retry(told, route))
        if entry.muted_at and told.told_at <= entry.muted_at:
            freed = entry.attention.ts if entry.attention else entry.muted_at
            return "again", max(freed, floor, _retry(told, route))
        return "still", max(told.told_at + route.repeat_interval_ms, floor, _retry(told, route))

    def step(self, entry: Entry, group: Group) -> tuple[int, int] | None:
        """The next step of its escalation and when, where there is one and nothing holds it."""
        route = group.route
        if not route.steps or not entry.firing or group.resolves_only:
            return None
        if entry.hold.muted or entry.hold.ack or entry.hold.flapping or self._quiet(entry, group):
            return None
        told = self._ledger.get(entry.id, group.receiver)
        if told is None or not told.first_at:
            return None
        began = told.first_at
        if entry.muted_at and entry.attention:
            began = max(began, entry.attention.ts)
        following = next_step(route.steps, began, self._ledger.of(entry.id))
        if following is None:
            return None
        index, at = following
        known = self._ledger.get(entry.id, route.steps[index].receiver)
        if known is not None:
            if known.aloft:
                return None
            at = max(at, _retry(known, route))
        return index, at

    def owed(self, group: Group, now: int) -> tuple[list[Notification], int | None]:
        """What was told by one way and not by another, by that other; and when to look again."""
        due: set[str] = set()
        resting: dict[str, list[Entry]] = {}
        later: list[int] = []
        for entry in group.members.values():
            for channel, at, aloft in self.debts(entry, group):
                if at > now:
                    later.append(at)
                else:
                    due.add(channel)
                if at <= now or not aloft:
                    resting.setdefault(channel, []).append(entry)
        owed = [
            replace(_belated(group, resting[channel][:MOST_ALERTS], now), channel=channel) for channel in sorted(due)
        ]
        return owed, min(later, default=None)

    def owes(self, group: Group) -> bool:
        return any(True for entry in group.members.values() for _ in self.debts(entry, group))

    def debts(self, entry: Entry, group: Group) -> Iterator[tuple[str, int, bool]]:
        """Channel, when to try it again, and whether somebody is at it until then."""
        told = self._ledger.get(entry.id, group.receiver)
        if told is None or not told.debts or told.aloft or group.resolves_only:
            return
        if entry.hold.muted or entry.hold.ack or entry.hold.flapping or self._quiet(entry, group):
            return
        if not (told.knows if entry.firing else told.over and self._sends_resolved(group.receiver)):
            return
        for channel, debt in told.debts.items():
            if not entry.firing and channel not in told.takers:
                continue
            yield channel, debt.aloft_until or debt.failed_at + _pause(group.route), debt.aloft_until > 0

    def talk(self, group: Group, now: int) -> Talk:
        floor = self.floor(group, now)
        talk = Talk()
        waiting: list[int] = []
        since: list[int] = []
        for entry in group.members.values():
            what, at = self.standing(entry, group, floor)
            if what not in ("nothing", "done"):
                if at <= now:
                    talk.due = True
                    since.append(at)
                else:
                    waiting.append(at)
                if what == "still" and at <= now:
                    what = "again"
                getattr(talk, what).append(entry)
                if what == "still" and any(True for _ in self.debts(entry, group)):
                    talk.partly.add(entry.id)
            if step := self.step(entry, group):
                if step[1] <= now:
                    talk.escalate.setdefault(step[0], []).append(entry)
                    talk.escalate_at[step[0]] = min(step[1], talk.escalate_at.get(step[0], step[1]))
                else:
                    waiting.append(step[1])
        talk.at = min(since, default=0)
        talk.next = min(waiting, default=None)
        return talk

    def _ended(self, entry: Entry, group: Group, told: Told | None, floor: int) -> tuple[Saying, int]:
        if told is None or not told.knows or not self._sends_resolved(group.receiver):
            return "done", 0
        if (
            entry.hold.muted
            or self._quiet(entry, group)
            or (entry.hold.flapping and self._hushed(entry, group.receiver))
        ):
            return "nothing", 0
        return "over", max((entry.since or 0) + group.route.group_wait_ms, floor, _retry(told, group.route))


def messages(group: Group, talk: Talk, now: int) -> list[Notification]:
    """What the group says, in at most two messages: what flaps is said apart."""
    said = []
    if talk.news or talk.over:
        new, known = _new_and_known(talk)
        firing = (new + known)[:MOST_ALERTS]
        over = talk.over[: max(0, MOST_ALERTS - len(firing))]
        occasion = _occasion(talk)
        at = talk.at if occasion in ("repeat", "worsened") else now
        message = _message(group, occasion, firing, over, at)
        said.append(replace(message, told_before=max(0, len(firing) - len(new))))
    if talk.flap:
        said.append(_message(group, "flapping", talk.flap[:MOST_ALERTS], [], now))
    return said


def escalations(group: Group, talk: Talk) -> list[Notification]:
    steps = group.route.steps
    return [
        Notification(
            steps[index].receiver,
            "escalation",
            group.key,
            group.labels,
            tuple(e.alert for e in entries[:MOST_ALERTS]),
            at=talk.escalate_at[index],
        )
        for index, entries in sorted(talk.escalate.items())
    ]


def digest(
    receiver: str, firing: Iterable[Alert], over: Iterable[Alert], at: int, held_back: tuple[int, int]
) -> Notification:
    """What was held back from a receiver, in one message, the worst first."""
    worst = sorted(firing, key=lambda a: (-_SEVERITIES.index(a.severity), a.started_at, a.alert_id))[:MOST_ALERTS]
    rest = tuple(over)[: MOST_ALERTS - len(worst)]
    return Notification(receiver, "digest", DIGEST, {}, tuple(worst), rest, at, held_back=held_back)


def _belated(group: Group, entries: list[Entry], now: int) -> Notification:
    firing, over = [e for e in entries if e.firing], [e for e in entries if not e.firing]
    return _message(group, "resolved" if not firing else "changed" if over else "first", firing, over, now)


def _message(group: Group, occasion: Occasion, firing: list[Entry], over: list[Entry], at: int) -> Notification:
    return Notification(
        group.receiver,
        occasion,
        group.key,
        group.labels,
        tuple(e.alert for e in firing),
        tuple(e.alert for e in over),
        at,
    )


def _new_and_known(talk: Talk) -> tuple[list[Entry], list[Entry]]:
    """What fires, apart by whether the receiver knows it already; a repeat is about all of it."""
    untold = [e for e in talk.still if e.id in talk.partly]
    told = [e for e in talk.still if e.id not in talk.partly]
    if talk.fresh or talk.worse:
        return [*talk.fresh, *talk.worse, *untold], [*talk.again, *told]
    if talk.over:
        return [*talk.again, *untold], told
    return [*talk.again, *untold, *told], []


def _occasion(talk: Talk) -> Occasion:
    if talk.worse:
        return "worsened"
    if talk.fresh:
        return "changed" if talk.still or talk.again or talk.over else "first"
    if talk.over:
        return "changed" if talk.still or talk.again else "resolved"
    return "repeat"


def _worse_since(entry: Entry, told: Told) -> bool:
    """A rise of severity is told again; a worse value only where somebody had taken on a better one."""
    if told.told_at < entry.rose_at:
        return True
    return entry.outgrew and told.told_at < entry.worse_at


def _retry(told: Told | None, route: RouteEntry) -> int:
    if told is None:
        return 0
    again = 0
    if told.gave_up_at > told.told_at:
        again = told.gave_up_at + _pause(route)
    if told.refused_at > told.told_at:
        again = max(again, told.refused_at + route.repeat_interval_ms)
    return again


def _pause(route: RouteEntry) -> int:
    return max(route.group_interval_ms, LEAST_PAUSE_MS)
