"""The alerter: reads samples and findings, decides what is worth telling, tells it, and records all of it.

In two steps (ADR 0011): every alerter evaluates the hosts of its partitions; the one that holds the lease tells.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from services.alerter.changes import Changes
from services.alerter.delivery.lanes import Build, Lanes
from services.alerter.delivery.receivers import channels_of, external_url
from services.alerter.delivery.recorder import Recorder
from services.alerter.echo import Echo
from services.alerter.evaluation.evaluator import Evaluator
from services.alerter.evaluation.hearing import Ends, FaustEnds, Hearing
from services.alerter.evaluation.known import KnownAlerts
from services.alerter.evaluation.processor import Processor
from services.alerter.evidence.port import Evidence, NoEvidence
from services.alerter.following import Following, History, Said
from services.alerter.notification.notifier import Notifier
from services.alerter.routing.file import RoutingError
from services.alerter.routing.plan import Plan, setup_parts
from services.alerter.rules.book import Book
from services.alerter.rules.entries import entries
from services.alerter.rules.rule import RulesError
from services.alerter.telling import Telling
from shared.bus.kafka import publisher as kafka_publisher
from shared.bus.kafka import tail as kafka_tail
from shared.bus.lease import Lease
from shared.bus.port import BusError, Publisher, Tail
from shared.bus.stream import StreamService, batches, stream_app
from shared.runtime import selfmetrics
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.health import Health
from shared.runtime.settings import Settings, SettingsError
from shared.schemas.alert import Alert
from shared.schemas.codec import encode
from shared.schemas.control import Control, Setup, Watched, key_of
from shared.schemas.topics import ALERTS, ANOMALIES, CONTROL, METRICS

if TYPE_CHECKING:
    from services.alerter.delivery.heartbeat import Heartbeat
    from services.alerter.delivery.mirror import Mirror

log = logging.getLogger(__name__)

BATCH_EVENTS = 1000
BATCH_SECONDS = 0.05
"""A page waits for it; under load batches fill all the same."""
TICK_SECONDS = 1.0
HEAR_SECONDS = 2.0
LOOK_SECONDS = 2.0
"""Between two looks at the files."""
STUCK_SECONDS = 60.0
DEAF_SECONDS = 60.0
UNHEARD_SECONDS = 60.0
FUTURE_SECONDS = 60.0
GROUP = "lapwing-notifier"


def build(
    settings: Settings,
    *,
    clock: Clock | None = None,
    health: Health | None = None,
    publisher: Publisher | None = None,
    tail: Tail | None = None,
    channels: Build | None = None,
    history: History | None = None,
    evidence: Evidence | None = None,
    session_timeout: float = 10.0,
) -> Alerter:
    """Raises ``SettingsError`` on rules, routing or receivers that cannot work.

    ``channels``: what makes a receiver's channels, instead of those it names. ``history``: what the broker forgets
    when it stops, from where it is kept. ``evidence``: what there is to show beside an alert. ``session_timeout``:
    seconds until another alerter takes over a dead one's hosts.
    """
    changes = Changes(settings)
    book, plan = _first(changes)
    evidence = evidence or NoEvidence()
    channels = channels or (lambda receiver: channels_of(receiver, settings, evidence))
    if not plan.receivers:
        log.info(
            "alerts are recorded but nobody is told: no receiver is configured",
            extra={"set": "LAPWING_ALERTER__WEBHOOK_URL or LAPWING_ALERTER__EMAIL_TO"},
        )
    app = stream_app(settings, "alerter", session_timeout=session_timeout)
    alerter = Alerter(
        settings,
        changes,
        book,
        plan,
        publisher=publisher or kafka_publisher(settings.kafka, "lapwing-alerter"),
        tail=tail or kafka_tail(settings.kafka, [ALERTS, CONTROL], "lapwing-alerter-history"),
        stream=StreamService("alerter stream", app),
        ends=FaustEnds(app),
        channels=channels,
        evidence=evidence,
        history=history,
        clock=clock or SystemClock(),
    )
    alerter.lanes.prepare(plan.receivers.values())  # what cannot work is refused at the start
    batches(app, [METRICS, ANOMALIES], BATCH_EVENTS, BATCH_SECONDS, alerter.processor.handle)
    if health:
        health.progress["alerter"] = alerter.stuck
        health.warnings["alerter"] = alerter.deaf
    return alerter


def _first(changes: Changes) -> tuple[Book, Plan]:
    try:
        return changes.first()
    except RulesError as error:
        raise SettingsError(f"LAPWING_ALERTER__RULES: {error}") from None
    except RoutingError as error:
        raise SettingsError(f"LAPWING_ALERTER__ROUTING: {error}") from None


class Alerter:
    name = "alerter"

    def __init__(
        self,
        settings: Settings,
        changes: Changes,
        book: Book,
        plan: Plan,
        *,
        publisher: Publisher,
        tail: Tail,
        stream: StreamService,
        ends: Ends,
        channels: Build,
        evidence: Evidence,
        history: History | None,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._changes = changes
        self._book = book
        self._echo = Echo(publisher, clock)
        self._stream = stream
        self._clock = clock
        self._evidence = evidence
        self._known = KnownAlerts()
        self._hearing = Hearing(ends)
        self._evaluator = self._evaluator_of(book)
        self.processor = Processor(self._evaluator, self._hearing, self._echo, clock)
        self._notifier = Notifier(plan)
        self.recorder = Recorder(self._echo)
        self.lanes = self._lanes_of(channels)
        self._following = Following(tail, self, history)
        self._telling = self._telling_of()
        self._lease = Lease(
            settings.kafka, ALERTS, GROUP, clock, on_change=self._leads, hand_over=self._telling.hand_over
        )
        self._mirror = self._mirror_to(settings.alerter.alertmanager_url)
        self._heartbeat = self._heartbeat_to(settings.alerter.heartbeat_url)
        self._watched: dict[str, Watched | None] = {}
        """What the control topic said of hosts and the evaluator has not heard yet."""
        self._receivers_changed = True
        self._unusable: dict[str, str] = {}
        """Receiver -> why it cannot work as it is written."""
        self._setup_changed = False
        self._partitions: set[int] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._ticked = self._heard = clock.monotonic()

    def _evaluator_of(self, book: Book) -> Evaluator:
        return Evaluator(
            book.enabled,
            silent_after_ms=self._silent_after_ms,
            language=self._settings.alerter.language,
            max_hosts=self._settings.alerter.max_hosts,
            name=f"{socket.gethostname()}:{self._settings.data_dir.absolute()}",
            known=self._known.of,
            ours=lambda host_id: self._stream.owns(METRICS, host_id),
        )

    def _lanes_of(self, channels: Build) -> Lanes:
        return Lanes(
            channels,
            self.recorder.record,
            self._clock,
            max_attempts=self._settings.alerter.max_attempts,
            timeout=self._settings.alerter.timeout,
            may_deliver=lambda: self._lease.held,
        )

    def _telling_of(self) -> Telling:
        return Telling(
            self._notifier,
            self.lanes,
            self.recorder,
            self._clock,
            may=lambda: self._lease.held,
            behind=lambda: self._following.behind or self._echo.missing > UNHEARD_SECONDS,
            changed=self._following.heard,
        )

    # An HTTP client is loaded where one of these is asked for.

    def _mirror_to(self, url: str | None) -> Mirror | None:
        if not url:
            return None
        from services.alerter.delivery.mirror import Mirror

        return Mirror(url, external_url(self._settings), self._clock, may_tell=lambda: self._lease.held)

    def _heartbeat_to(self, url: str | None) -> Heartbeat | None:
        if not url:
            return None
        from services.alerter.delivery.heartbeat import Heartbeat

        return Heartbeat(url, self._settings.alerter.heartbeat_seconds, self._why_not)

    # -- what the topics say -----------------------------------------------------------------------------------

    def hear(self, event: Said) -> None:
        self._echo.heard()
        if isinstance(event, Alert):
            self._known.add(event)
            if self._mirror:
                self._mirror.show([event])
        self._notifier.hear(event)

    def told(self, key: str, event: Control | None) -> None:
        kind, _, name = key.partition(":")
        if kind == "watched":
            self._watched[name] = event if isinstance(event, Watched) else None
        self._receivers_changed |= kind == "receiver"
        self._notifier.told(key, event)

    # -- life --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        await self._echo.start()
        await self._following.catch_up()
        # While the group forms, others go on saying things about hosts that come to us.
        self._run(self._following.run())
        self._use_receivers()
        await self._stream.start()
        await self.processor.decide(self._take_up)
        log.info(
            "the alerter is up",
            extra={
                "rules": len(self._book.enabled),
                "receivers": len(self._notifier.plan.receivers),
                "open": self._evaluator.open,
            },
        )
        self._ticked = self._heard = self._clock.monotonic()
        self._run(
            self.recorder.run(),
            self._telling.run(),
            self._lease.run(),
            self.lanes.watch(),
            self._tick(),
            self._hear(),
            self._watch_files(),
            *(extra.run() for extra in (self._mirror, self._heartbeat) if extra),
        )

    async def watch(self) -> None:
        watched = [*self._tasks, asyncio.create_task(self._stream.watch())]
        try:
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            watched[-1].cancel()

    async def stop(self) -> None:
        """What cannot be delivered within a second is delivered at the next start: nothing says that it was."""
        await self._stream.stop()
        self._telling.decide()
        await self.lanes.drain(1.0)
        await self.recorder.drain(0.5)
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.lanes.close()
        for extra in (self._mirror, self._heartbeat, self._evidence):
            if extra:
                await extra.close()
        await self._following.stop()
        await self._echo.stop()

    def _run(self, *work: Coroutine[Any, Any, None]) -> None:
        self._tasks += [asyncio.create_task(w) for w in work]

    # -- loops -------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            with _waiting_for_the_broker():
                await self.processor.decide(self._catch_up_with_hosts)
                await self.processor.tick()
                await self._say_setup()
            self._use_receivers()
            self._count()
            self._ticked = self._clock.monotonic()
            await asyncio.sleep(TICK_SECONDS)

    async def _hear(self) -> None:
        """Keeps the evaluator told of how long we have been hearing everything."""
        while True:
            asked = self._clock.monotonic()
            try:
                async with asyncio.timeout(HEAR_SECONDS * 2):
                    until = await self._hearing.check(asked)
            except Exception as error:
                # Whatever the reason, it only means that no silence can be claimed.
                log.debug("the broker does not say where its topics end", extra={"reason": repr(error)})
                self._hearing.reset()
                self._evaluator.silence.deaf()
                self._evaluator.lateness.deaf()
            else:
                self._heard = asked
                self._evaluator.lateness.answered(asked, until, assigned=self._hearing.assigned)
                if until is not None:
                    self._evaluator.silence.listened(until)
            await asyncio.sleep(HEAR_SECONDS)

    async def _watch_files(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            before = self._changes.problems
            book = await asyncio.to_thread(self._changes.rules)
            plan = await asyncio.to_thread(self._changes.plan)
            if book is not None:
                self._book = book
                with _waiting_for_the_broker():
                    await self.processor.decide(partial(self._adopt, book))
            if plan is not None:
                self._notifier.adopt(plan, self._clock.now_ms())
                self._receivers_changed = True
                self._telling.changed.set()
            self._setup_changed |= book is not None or plan is not None or self._changes.problems != before

    # -- what they do ------------------------------------------------------------------------------------------

    def _take_up(self, now_ms: int, monotonic: float) -> list[Alert]:
        """Of the hosts that are ours, what was open, and those that would be missed."""
        self._partitions = self._stream.partitions(METRICS)
        out = self._catch_up_with_watched(now_ms, monotonic)
        known = [alert for host_id in self._known.hosts() for alert in self._known.of(host_id)]
        return out + self._evaluator.restore(known, now_ms, monotonic)

    def _catch_up_with_hosts(self, now_ms: int, monotonic: float) -> list[Alert]:
        out = self._catch_up_with_watched(now_ms, monotonic)
        if self._stream.partitions(METRICS) != self._partitions:
            out += self._evaluator.reassigned(now_ms, monotonic)
            out += self._take_up(now_ms, monotonic)
        return out

    def _catch_up_with_watched(self, now_ms: int, monotonic: float) -> list[Alert]:
        watched, self._watched = self._watched, {}
        return [a for name, event in watched.items() for a in self._evaluator.watched(name, event, now_ms, monotonic)]

    def _adopt(self, book: Book, now_ms: int, _: float) -> list[Alert]:
        return self._evaluator.adopt(book.enabled, now_ms)

    def _use_receivers(self) -> None:
        if self._receivers_changed:
            self._receivers_changed = False
            self._setup_changed = True
            self._unusable = self.lanes.set(self._notifier.plan.receivers.values())
            for name, why in self._unusable.items():
                log.error("a receiver cannot be used", extra={"receiver": name, "reason": why})

    def _leads(self, ours: bool) -> None:
        self._setup_changed |= ours
        self._telling.leads(ours)

    async def _say_setup(self) -> None:
        """How we are set up, when it is ours to say and something changed. Raises ``BusError``."""
        if not self._setup_changed or not self._lease.held:
            return
        parts = setup_parts(self._notifier.plan)
        now = self._clock.now_ms()
        setup = Setup(
            event_id=f"setup:{now}",
            ts=now,
            rules=entries(self._book, self._silent_after_ms),
            routes=parts.routes,
            receivers=parts.receivers,
            inhibit_rules=parts.inhibit_rules,
            quiet_hours=parts.quiet_hours,
            silent_after_ms=self._silent_after_ms,
            problems=[*self._changes.problems, *self._unusable.values()],
        )
        await self._echo.publish(CONTROL, key_of(setup), encode(setup))
        self._setup_changed = False

    @property
    def _silent_after_ms(self) -> int:
        return round(self._settings.alerter.host_silent_after * 1000)

    def _count(self) -> None:
        selfmetrics.ALERTER_HOSTS.set(self._evaluator.hosts)
        selfmetrics.ALERTER_OPEN.set(self._evaluator.open)
        selfmetrics.ALERTER_LEADS.set(self._lease.held)
        selfmetrics.ALERTER_WAITING.set(self.lanes.waiting)

    # -- health ------------------------------------------------------------------------------------------------

    def stuck(self) -> str | None:
        now = self._clock.monotonic()
        if (idle := now - self._ticked) > STUCK_SECONDS:
            return f"the alerter has decided nothing for {idle:.0f} s"
        if (missing := self._echo.missing) > UNHEARD_SECONDS:
            return f"the alerter has not heard what it said on {ALERTS.name} for {missing:.0f} s, so it tells nobody"
        return None

    def deaf(self) -> str | None:
        now = self._clock.monotonic()
        if (seconds := now - self._heard) > DEAF_SECONDS:
            return f"the broker has not answered the alerter for {seconds:.0f} s"
        if (seconds := self._lease.unconfirmed) > DEAF_SECONDS:
            return f"the alerter has been in no group that decides who tells for {seconds:.0f} s"
        if (seconds := self._evaluator.only_future_for(now)) > FUTURE_SECONDS:
            return f"every sample for {seconds:.0f} s was from the future: set this machine's clock, or the hosts'"
        return None

    def _why_not(self) -> str | None:
        """Why alerting does not work here; ``None`` when it does. Who only stands by says nothing to the outside."""
        if not self._lease.held:
            return "another alerter tells, or none"
        return self.stuck() or self.deaf() or (None if self._hearing.assigned else "no partition is read")


@contextmanager
def _waiting_for_the_broker() -> Iterator[None]:
    """What could not be recorded is kept, and recorded the next time."""
    try:
        yield
    except BusError as error:
        if error.permanent:
            raise
        log.warning("transitions wait for the broker", extra={"reason": str(error)})
