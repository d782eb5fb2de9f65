"""Whom to bother, about what, and when: everything that is known, folded into one picture, and decided from it.

Pure: times are given, epoch milliseconds, and nothing is read or sent. Every alerter folds the same topics; only who
holds the lease decides. What was told to whom is known from the deliveries on the topic and from nothing else, so a
successor neither repeats what arrived nor forgets what did not.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from services.alerter.notification.acknowledgement import Acknowledgements
from services.alerter.notification.attention import attention_of
from services.alerter.notification.board import Board, Entry, Hold
from services.alerter.notification.cap import Spent
from services.alerter.notification.flapping import Flaps
from services.alerter.notification.grouping import MOST_ALERTS, Group, Grouping, Talk, digest, escalations, messages
from services.alerter.notification.inhibition import Inhibition
from services.alerter.notification.ledger import Ledger
from services.alerter.notification.notification import Notification
from services.alerter.notification.quiet import Quiet
from services.alerter.notification.silences import Silences
from services.alerter.notification.trials import Trials
from services.alerter.routing.plan import Plan, with_entered
from shared.alerting.matching import matches
from shared.alerting.routing import Router, group_labels
from shared.schemas.alert import Alert, Attention, Delivery
from shared.schemas.control import Acknowledgement, Control, ReceiverEntry, RouteEntry, Silence, Trial

UNANSWERED_MS = 900_000
"""What was handed over and not heard of again for so long is decided anew."""

RESTED_MS = 3_600_000
"""Whoever decides has long told of what ended before that."""

SET_BACK_MS = 1000
"""By more than this the clock is set back, not merely corrected."""

Place = tuple[int | str, ...]

_SWEEP_EVERY = 10_000
_MANY = 16
"""Beyond so many silences at once it is cheaper to look at every alert than to ask whom they mean."""

_KEPT_MS = 7 * 86_400_000
_NEWS = ("fresh", "flap", "worse", "again")


@dataclass(frozen=True, slots=True)
class Decision:
    notifications: list[Notification]
    attention: list[Attention]


@dataclass(slots=True)
class _Flight:
    receiver: str
    ids: set[str]
    until: int


@dataclass(slots=True)
class _Held:
    """What a receiver was not told because it had been told enough."""

    until: int
    groups: dict[Group, None] = field(default_factory=dict)
    messages: int = 0
    alerts: set[str] = field(default_factory=set)


class Notifier:
    def __init__(self, plan: Plan) -> None:
        self._given = plan
        self._entered: dict[str, ReceiverEntry] = {}
        self.plan = plan
        """In force: as given, with what was entered through the API."""
        self._board = Board()
        self._ledger = Ledger()
        self._silences = Silences()
        self._acks = Acknowledgements()
        self._flaps = Flaps(plan.flapping)
        self._trials = Trials()
        self._spent: dict[str, Spent] = {}
        self._flights: dict[str, _Flight] = {}
        self._sweep_beyond = self._rest_beyond = _SWEEP_EVERY
        self._leaving: deque[tuple[int, str]] = deque()
        """When to forget what ended and of which all was said, and its id."""
        self._decided: int | None = None
        self._silenced: list[Silence] = []
        """Silences that came, went, began or ended."""
        self._look: dict[str, None] = {}
        """Alerts for which something may have changed."""
        self._told: dict[str, None] = {}
        """Alerts for which only what was told may have changed."""
        self._grouping = Grouping(self._ledger, self._quiet_for, self._hushed, self._sends_resolved)
        self._take_up(plan)

    # -- what is heard -----------------------------------------------------------------------------------------

    def adopt(self, plan: Plan, now_ms: int) -> None:
        """Another plan, from now on: what was told stays told."""
        self._given = plan
        self._take_up(with_entered(plan, self._entered.values()))

    def hear(self, event: Alert | Attention | Delivery) -> None:
        """From the alerts topic, in the order of each host; repeats and old news change nothing."""
        if isinstance(event, Alert):
            self._hear_alert(event)
        elif isinstance(event, Attention):
            if self._board.hear_attention(event):
                self._told[event.alert_id] = None
        else:
            self._hear_delivery(event)

    def told(self, key: str, event: Control | None) -> None:
        """From the control topic: the newest of a key, ``None`` when it is forgotten."""
        kind, _, name = key.partition(":")
        if kind == "silence":
            before = self._silences.drop(name)
            if isinstance(event, Silence):
                self._silences.put(event)
            self._silenced += [s for s in (before, event) if isinstance(s, Silence)]
        elif kind == "ack":
            self._acks.drop(name)
            if isinstance(event, Acknowledgement):
                self._acks.put(event)
            self._touch(name)
        elif kind == "receiver":
            self._entered.pop(name, None)
            if isinstance(event, ReceiverEntry):
                self._entered[name] = event
            self._take_up(with_entered(self._given, self._entered.values()))
        elif kind == "trial":
            self._trials.drop(name)
            if isinstance(event, Trial):
                self._trials.put(event)

    def stand_down(self) -> None:
        """The lease is lost: what was decided and not settled is the successor's to decide."""
        for flight in self._flights.values():
            self._land(flight, flight.ids)
        self._flights.clear()
        self._decided = None

    def rest(self, now_ms: int) -> None:
        """Who does not decide forgets all the same what ended long ago and is settled."""
        if self._board.ended <= self._rest_beyond:
            return
        for entry in list(self._board):
            if not entry.firing and now_ms - entry.alert.ts > RESTED_MS and self._is_settled(entry):
                self._bury(entry.id)
        self._look = {i: None for i in self._look if self._board.get(i)}
        self._told = {i: None for i in self._told if self._board.get(i)}
        self._rest_beyond = max(_SWEEP_EVERY, 2 * self._board.ended)

    def _is_settled(self, entry: Entry) -> bool:
        """Whether nobody is to be told of its end."""
        told = self._ledger.of(entry.id)
        return not any(t.aloft or (t.knows and self._sends_resolved(receiver)) for receiver, t in told.items())

    # -- what is decided ---------------------------------------------------------------------------------------

    def decide(self, now_ms: int) -> Decision:
        """What is to be sent and said now. Each notification is handed out once, until it is known that it failed."""
        attention: list[Attention] = []
        if self._decided is None:
            self._ledger.nobody_tries()
        elif now_ms < self._decided - SET_BACK_MS:
            self._look_anew(now_ms)
        self._pass_time(now_ms)
        looked, self._look = self._look, {}
        told, self._told = self._told, {}
        for alert_id in looked:
            if entry := self._board.get(alert_id):
                attention += self._consider(entry, now_ms)
        for alert_id in told:
            if alert_id not in looked and (entry := self._board.get(alert_id)):
                self._schedule(entry, now_ms)
        notifications = self._trials.take(now_ms)
        for notification in notifications:
            self._spend(notification, now_ms)
        while self._due and self._due[0][0] <= now_ms:
            due, _, group = heapq.heappop(self._due)
            if group.due == due:
                group.due = None
                notifications += self._flush(group, now_ms)
        for receiver in list(self._held):
            notifications += self._digest(receiver, now_ms)
        if self._ledger.groups > self._sweep_beyond:
            self._ledger.sweep(now_ms - _KEPT_MS)
            self._sweep_beyond = max(_SWEEP_EVERY, 2 * self._ledger.groups)
        self._decided = now_ms
        return Decision(notifications, attention)

    def next_due(self) -> int | None:
        """When ``decide`` is to be called again if nothing is heard until then; 0: at once."""
        if self._look or self._told or self._silenced or self._trials.any:
            return 0
        while self._due and self._due[0][2].due != self._due[0][0]:
            heapq.heappop(self._due)
        times = [
            self._due[0][0] if self._due else None,
            self._silences.next_turn(),
            self._acks.next_turn(),
            self._flaps.next_turn(),
            self._quiet.next_turn(),
            min((f.until for f in self._flights.values()), default=None),
            min((h.until for h in self._held.values()), default=None),
        ]
        return min((t for t in times if t is not None), default=None)

    # -- folding -----------------------------------------------------------------------------------------------

    def _hear_alert(self, alert: Alert) -> None:
        known = self._board.get(alert.alert_id)
        was = known.alert if known else None
        entry = self._board.hear(alert)
        for old in self._board.too_many_ended():
            self._bury(old)
        for old in self._board.forgotten():
            self._ledger.forget(old)
        if len(self._look) > 2 * len(self._board.entries) + _SWEEP_EVERY:
            self._look = {i: None for i in self._look if self._board.get(i)}
        if entry is None:
            return
        if was is None and entry.firing:
            self._flaps.fired(alert.fingerprint, alert.ts)
            for receiver, told in self._ledger.of(alert.alert_id).items():
                if told.flapping:
                    self._flaps.told(alert.fingerprint, receiver)
        if not entry.firing:
            self._flaps.ended(alert.fingerprint, alert.ts)
        if was is not None and was.labels != alert.labels:
            self._leave_groups(entry)
        self._look[alert.alert_id] = None
        if was is None or was.labels != alert.labels or not entry.firing:
            self._look |= dict.fromkeys(self._inhibition.add(alert, fires=entry.firing))
        if self._flaps.flapping(alert.fingerprint):
            self._look |= dict.fromkeys(self._board.of(alert.fingerprint))

    def _hear_delivery(self, delivery: Delivery) -> None:
        if delivery.occasion == "trial":
            self._trials.answered(delivery.notification_id)
            self._flights.pop(delivery.notification_id, None)
            return
        self._ledger.hear(delivery)
        if self._channels(delivery.receiver) > 1:
            self._ledger.owe(delivery, UNANSWERED_MS)
        flight = self._flights.get(delivery.notification_id)
        if delivery.outcome == "temporary_failure":
            if flight:
                flight.until = max(flight.until, (delivery.next_attempt_at or delivery.ts) + UNANSWERED_MS)
        elif delivery.outcome == "delivered":
            self._spent.setdefault(delivery.receiver, Spent()).spend(delivery.notification_id, delivery.ts)
            if delivery.occasion == "flapping":
                for alert_id in delivery.alert_ids:
                    if entry := self._board.get(alert_id):
                        self._flaps.told(entry.alert.fingerprint, delivery.receiver)
            if flight:
                self._settle(delivery.notification_id, flight, delivery.alert_ids)
        else:
            if self._ledger.refused_by_all(delivery, self._channels(delivery.receiver)):
                self._ledger.failed(delivery)
                if flight:
                    self._spent.setdefault(delivery.receiver, Spent()).give_back(delivery.notification_id)
                    self._settle(delivery.notification_id, flight, delivery.alert_ids)
        self._told |= dict.fromkeys(i for i in delivery.alert_ids if self._board.get(i))

    def _settle(self, notification_id: str, flight: _Flight, alert_ids: Iterable[str]) -> None:
        landed = flight.ids.intersection(alert_ids)
        self._land(flight, landed)
        flight.ids -= landed
        if not flight.ids:
            del self._flights[notification_id]

    def _land(self, flight: _Flight, alert_ids: Iterable[str]) -> None:
        for alert_id in alert_ids:
            if told := self._ledger.get(alert_id, flight.receiver):
                told.aloft = ""
            if alert_id in self._board.entries:
                self._told[alert_id] = None

    def _look_anew(self, now: int) -> None:
        """The clock was set back: what was to happen by the other time would be late by the difference."""
        self._decided = now
        self._quiet.look_anew()
        for entry in self._board:
            entry.since = None if entry.since is None else min(entry.since, now)
            entry.freed_at = min(entry.freed_at, now)
            self._look[entry.id] = None

    def _look_at_what_they_mean(self) -> None:
        silences, self._silenced = self._silenced, []
        for entry in self._board:
            if len(silences) > _MANY or any(matches(s.matchers, entry.alert.labels) for s in silences):
                self._look[entry.id] = None

    def _touch(self, alert_id: str) -> None:
        if self._board.get(alert_id):
            self._look[alert_id] = None

    def _take_up(self, plan: Plan) -> None:
        self.plan = plan
        self._router = Router(plan.routes)
        self._groups: dict[Place, Group] = {}
        self._due: list[tuple[int, int, Group]] = []
        self._pushed = 0
        self._held: dict[str, _Held] = {}
        self._quiet = Quiet(plan.quiet_hours)
        self._flaps.adopt(plan.flapping)
        self._inhibition = Inhibition(plan.inhibit_rules)
        for entry in self._board:
            entry.groups, entry.routed = [], False
            self._inhibition.add(entry.alert, fires=entry.firing)
            self._look[entry.id] = None

    # -- time --------------------------------------------------------------------------------------------------

    def _pass_time(self, now: int) -> None:
        self._silenced += self._silences.turn(now)
        if self._silenced:
            self._look_at_what_they_mean()
        for alert_id in self._acks.turn(now):
            self._touch(alert_id)
        while self._leaving and self._leaving[0][0] <= now:
            if entry := self._board.get(self._leaving.popleft()[1]):
                entry.leaving = False
                self._schedule(entry, now)
        for fingerprint in self._flaps.turn(now):
            self._look |= dict.fromkeys(self._board.of(fingerprint))
        if turned := self._quiet.turn(now):
            for entry in self._board:
                if any(turned.intersection(g.route.quiet) for g in entry.groups):
                    self._look[entry.id] = None
        for notification_id, flight in list(self._flights.items()):
            if flight.until <= now:
                self._spent.setdefault(flight.receiver, Spent()).give_back(notification_id)
                self._land(flight, flight.ids)
                del self._flights[notification_id]

    # -- one alert ---------------------------------------------------------------------------------------------

    def _consider(self, entry: Entry, now: int) -> list[Attention]:
        alert = entry.alert
        if entry.since is None:
            entry.since = max(min(alert.ts, now), self._decided or 0)
        if entry.worse:
            entry.worse = False
            rose = entry.rose_at == entry.worse_at
            entry.worse_at = max(min(entry.worse_at, now), self._decided or 0)
            entry.rose_at = entry.worse_at if rose else entry.rose_at
        if not entry.routed:
            self._route(entry)
        self._flaps.believe(alert.fingerprint, now)
        silences = self._silences.holding(alert.labels, now)
        ack = self._acks.holding(alert, now) if entry.firing else None
        entry.outgrew = ack is None and self._acks.outgrown_by(alert, now)
        inhibitor = self._inhibition.inhibitor(alert.alert_id)
        if entry.hold.inhibitor and not inhibitor:
            entry.freed_at = now
        entry.hold = Hold(
            tuple(s.id for s in silences),
            inhibitor,
            (ack.author or "somebody") if ack else "",
            self._flaps.flapping(alert.fingerprint),
        )
        said = []
        if entry.firing and (event := self._attention(entry, silences, ack, now)):
            self._board.hear_attention(event)
            said.append(event)
        self._schedule(entry, now)
        return said

    def _attention(
        self, entry: Entry, silences: list[Silence], ack: Acknowledgement | None, now: int
    ) -> Attention | None:
        quiet = {name: self._quiet.until[name] for name in self._all_quiet(entry)}
        return attention_of(entry, silences, ack, quiet, self._flaps.fires(entry.alert.fingerprint), now)

    def _route(self, entry: Entry) -> None:
        entry.routed = True
        entry.groups = []
        labels = entry.alert.labels
        for index in self._router.taken(labels):
            route = self._router.routes[index]
            common = group_labels(route, labels)
            if not route.receiver:
                continue
            place: Place = (index, *(f"{name}={value}" for name, value in sorted(common.items())))
            if place not in self._groups:
                self._groups[place] = Group(place, self._router.group_key(index, common), route, common)
            self._join(entry, self._groups[place])

    def _schedule(self, entry: Entry, now: int) -> None:
        if not entry.firing:
            self._join_strays(entry)
        open_ends = False
        for group in entry.groups:
            for _, due, _ in self._grouping.debts(entry, group):
                open_ends = True
                self._wake(group, due)
            what, at = self._grouping.standing(entry, group, self._grouping.floor(group, now))
            open_ends = open_ends or what != "done"
            if what not in ("nothing", "done"):
                self._wake(group, at, entry.id if what in _NEWS else "")
            if step := self._grouping.step(entry, group):
                self._wake(group, step[1])
        if not entry.firing and not open_ends and not any(t.aloft for t in self._ledger.of(entry.id).values()):
            # Who had the lease before may be in the middle of telling its beginning.
            if now - (entry.since or now) >= UNANSWERED_MS:
                self._bury(entry.id)
            elif not entry.leaving:
                entry.leaving = True
                self._leaving.append((now + UNANSWERED_MS, entry.id))

    def _join_strays(self, entry: Entry) -> None:
        """Its end is told to whoever knows of it, also where no route leads any more."""
        reached = {g.receiver for g in entry.groups}
        for receiver, told in self._ledger.of(entry.id).items():
            if receiver in reached or receiver not in self.plan.receivers or not (told.knows or told.aloft):
                continue
            base = entry.groups[0].route if entry.groups else self.plan.routes[0]
            place: Place = (-1, receiver, told.group_key)
            if place not in self._groups:
                route = RouteEntry(
                    parent=-1,
                    receiver=receiver,
                    group_wait_ms=base.group_wait_ms,
                    group_interval_ms=base.group_interval_ms,
                    repeat_interval_ms=base.repeat_interval_ms,
                )
                labels = entry.groups[0].labels if entry.groups else {}
                self._groups[place] = Group(place, told.group_key, route, labels, resolves_only=True)
            self._join(entry, self._groups[place])

    @staticmethod
    def _join(entry: Entry, group: Group) -> None:
        entry.groups.append(group)
        group.members[entry.id] = entry

    def _leave_groups(self, entry: Entry) -> None:
        for group in entry.groups:
            group.members.pop(entry.id, None)
            if not group.members:
                self._drop(group)
        entry.groups, entry.routed = [], False

    def _bury(self, alert_id: str) -> None:
        if entry := self._board.bury(alert_id):
            self._leave_groups(entry)
            self._look |= dict.fromkeys(self._inhibition.remove(alert_id))
            self._acks.drop(alert_id)

    def _drop(self, group: Group) -> None:
        group.due = None
        self._groups.pop(group.place, None)
        if held := self._held.get(group.receiver):
            held.groups.pop(group, None)

    # -- groups ------------------------------------------------------------------------------------------------

    def _wake(self, group: Group, at: int, alert_id: str = "") -> None:
        """It is to look at ``at`` whether it has something to say, ``alert_id`` being news of its."""
        held = self._held.get(group.receiver)
        if held and group in held.groups:
            if alert_id:
                held.alerts.add(alert_id)
        elif group.due is None or at < group.due:
            group.due = at
            self._pushed += 1
            heapq.heappush(self._due, (at, self._pushed, group))

    def _flush(self, group: Group, now: int) -> list[Notification]:
        talk = self._grouping.talk(group, now)
        out = []
        for escalation in escalations(group, talk):
            free = self._free_at(escalation.receiver, now)
            if free > now:
                self._wake(group, free)
            else:
                out.append(self._launch(escalation, now))
        for message in messages(group, talk, now) if talk.due else []:
            if group.receiver in self._held or self._free_at(group.receiver, now) > now:
                self._hold(group, talk, now)
                return out
            out.append(self._launch(message, now))
            if len(talk.news) + len(talk.over) > MOST_ALERTS or len(talk.flap) > MOST_ALERTS:
                self._wake(group, now + group.route.group_interval_ms)
        out += self._pay(group, now)
        if talk.next is not None:
            self._wake(group, talk.next)
        return out

    def _pay(self, group: Group, now: int) -> list[Notification]:
        """What one way to tell its receiver did not take, by that way."""
        owed, later = self._grouping.owed(group, now)
        if owed and (free := self._free_at(group.receiver, now)) > now:
            owed, later = [], free
        for message in owed:
            self._ledger.tries(message, now + UNANSWERED_MS)
            self._spend(message, now)
        if later is not None:
            self._wake(group, later)
        return owed

    def _launch(self, notification: Notification, now: int) -> Notification:
        ids = {a.alert_id for a in notification.alerts}.union(notification.ids)
        name = notification.id
        self._flights[name] = _Flight(notification.receiver, ids, now + UNANSWERED_MS)
        for alert_id in ids:
            self._ledger.put(alert_id, notification.receiver).aloft = name
        self._ledger.begins(name)
        self._ledger.tries(notification, now + UNANSWERED_MS)
        self._ledger.spoke(notification.receiver, notification.group_key, now, notification.status)
        self._spend(notification, now)
        return notification

    def _spend(self, notification: Notification, now: int) -> None:
        self._spent.setdefault(notification.receiver, Spent()).spend(notification.id, now)

    def _free_at(self, receiver: str, now: int) -> int:
        spent, known = self._spent.get(receiver), self.plan.receivers.get(receiver)
        return spent.free_at(known.cap, now) if spent and known else now

    def _hold(self, group: Group, talk: Talk, now: int) -> None:
        held = self._held.setdefault(group.receiver, _Held(self._free_at(group.receiver, now)))
        held.groups[group] = None
        held.messages += 1
        held.alerts |= {e.id for e in (*talk.news, *talk.flap) if not self._is_aloft(e, group.receiver)}
        group.due = None

    def _is_aloft(self, entry: Entry, receiver: str) -> bool:
        told = self._ledger.get(entry.id, receiver)
        return told is not None and bool(told.aloft)

    def _digest(self, receiver: str, now: int) -> list[Notification]:
        """What was held back, in one message, once the receiver may be told again."""
        free = self._free_at(receiver, now)
        if free > now:
            self._held[receiver].until = free
            return []
        held = self._held.pop(receiver)
        firing: dict[str, Alert] = {}
        over: dict[str, Alert] = {}
        for group in held.groups:
            talk = self._grouping.talk(group, now)
            firing |= {e.id: e.alert for e in (*talk.news, *talk.flap)}
            over |= {e.id: e.alert for e in talk.over}
            if talk.escalate or self._grouping.owes(group):
                self._wake(group, now)
            if talk.next is not None:
                self._wake(group, talk.next)
        if len(firing) + len(over) > MOST_ALERTS:
            for group in held.groups:
                self._wake(group, now + group.route.group_interval_ms)
        if not firing and not over:
            return []
        stands_for = held.messages, len(held.alerts | firing.keys() | over.keys())
        return [self._launch(digest(receiver, firing.values(), over.values(), held.until, stands_for), now)]

    # -- questions ---------------------------------------------------------------------------------------------

    def _quiet_for(self, entry: Entry, group: Group) -> bool:
        """Whom no route leads to any more is told when anybody may be."""
        if group.resolves_only:
            return bool(self._all_quiet(entry))
        return any(self._quiet.holds(name, entry.alert.labels) for name in group.route.quiet)

    def _all_quiet(self, entry: Entry) -> list[str]:
        """The quiet hours that keep it from everybody; none where somebody may be told."""
        groups = [g for g in entry.groups if not g.resolves_only]
        if not groups or not all(self._quiet_for(entry, g) for g in groups):
            return []
        return sorted({n for g in groups for n in g.route.quiet if self._quiet.holds(n, entry.alert.labels)})

    def _hushed(self, entry: Entry, receiver: str) -> bool:
        return self._flaps.knows(entry.alert.fingerprint, receiver)

    def _sends_resolved(self, receiver: str) -> bool:
        known = self.plan.receivers.get(receiver)
        return known is None or known.send_resolved

    def _channels(self, receiver: str) -> int:
        known = self.plan.receivers.get(receiver)
        return known.ways if known else 1
