"""The alerter: reads samples and findings, decides what is worth telling, tells it, and records all of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

from services.alerter.delivery.channels.port import Channel
from services.alerter.delivery.lane import Lane
from services.alerter.delivery.receivers import receivers
from services.alerter.delivery.recorder import Recorder
from services.alerter.evaluation.evaluator import Evaluator
from services.alerter.evaluation.hearing import Ends, FaustEnds, Hearing
from services.alerter.evaluation.processor import Processor
from services.alerter.history import History, recall
from services.alerter.notification.dispatch import Dispatcher
from services.alerter.rules.files import load_rules
from services.alerter.rules.rule import RulesError
from shared.bus.kafka import publisher as kafka_publisher
from shared.bus.kafka import tail as kafka_tail
from shared.bus.port import BusError, Publisher, Tail
from shared.bus.stream import StreamService, batches, stream_app
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.health import Health
from shared.runtime.lifecycle import Service
from shared.runtime.settings import Settings, SettingsError
from shared.schemas.topics import ALERTS, ANOMALIES, METRICS

log = logging.getLogger(__name__)

BATCH_EVENTS = 1000
BATCH_SECONDS = 0.4
TICK_SECONDS = 1.0
HEAR_SECONDS = 2.0
STUCK_SECONDS = 60.0
DEAF_SECONDS = 60.0


def build(
    settings: Settings,
    *,
    clock: Clock | None = None,
    health: Health | None = None,
    publisher: Publisher | None = None,
    tail: Tail | None = None,
    channels: Mapping[str, Channel] | None = None,
    history: History | None = None,
    session_timeout: float = 10.0,
) -> Alerter:
    """Raises ``SettingsError`` on rules or receivers that cannot work.

    ``channels``: receiver -> channel, instead of those the settings name. ``history``: what the broker forgets when
    it stops, from where it is kept. ``session_timeout``: seconds until another alerter takes over from a dead one.
    """
    try:
        rules = load_rules(settings.alerter.rules)
    except RulesError as error:
        raise SettingsError(f"LAPWING_ALERTER__RULES: {error}") from None
    clock = clock or SystemClock()
    publisher = publisher or kafka_publisher(settings.kafka, "lapwing-alerter")
    found = receivers(settings) if channels is None else dict(channels)
    if not found:
        log.info(
            "alerts are recorded but nobody is told: no receiver is configured",
            extra={"set": "LAPWING_ALERTER__WEBHOOK_URL or LAPWING_ALERTER__EMAIL_TO"},
        )
    app = stream_app(settings, "alerter", session_timeout=session_timeout)
    evaluator = Evaluator(
        rules,
        silent_after_ms=round(settings.alerter.host_silent_after * 1000),
        language=settings.alerter.language,
    )
    alerter = Alerter(
        evaluator,
        Dispatcher(list(found)),
        publisher,
        tail or kafka_tail(settings.kafka, [ALERTS], "lapwing-alerter-history"),
        StreamService("alerter stream", app),
        FaustEnds(app),
        clock,
        history,
    )
    batches(app, [METRICS, ANOMALIES], BATCH_EVENTS, BATCH_SECONDS, alerter.processor.handle)
    for receiver, channel in found.items():
        alerter.add(
            Lane(
                receiver,
                channel,
                alerter.recorder.record,
                clock,
                max_attempts=settings.alerter.max_attempts,
                timeout=settings.alerter.timeout,
            )
        )
    if health:
        health.progress["alerter"] = alerter.stuck
        health.dependencies["alerter"] = alerter.deaf
    return alerter


class Alerter:
    name = "alerter"

    def __init__(
        self,
        evaluator: Evaluator,
        dispatcher: Dispatcher,
        publisher: Publisher,
        tail: Tail,
        stream: Service,
        ends: Ends,
        clock: Clock,
        history: History | None,
    ) -> None:
        self._evaluator = evaluator
        self._dispatcher = dispatcher
        self._publisher = publisher
        self._tail = tail
        self._stream = stream
        self._clock = clock
        self._history = history
        self._hearing = Hearing(ends)
        self.processor = Processor(evaluator, dispatcher, self._hearing, publisher, clock)
        self.recorder = Recorder(publisher)
        self._lanes: dict[str, Lane] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._ticked = clock.monotonic()
        self._heard = clock.monotonic()

    def add(self, lane: Lane) -> None:
        """Before ``start``."""
        self._lanes[lane.receiver] = lane

    # -- life --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        await self._publisher.start()
        past = await recall(self._tail, self._history)
        known = [*past.open(), *past.ended_lately()]
        ended = self._evaluator.restore(known, self._clock.now_ms(), self._clock.monotonic())
        self._dispatcher.restore(past, self._clock.monotonic())
        await self.processor.adopt(ended)
        if self._evaluator.open:
            log.info("took up alerts that were open", extra={"alerts": self._evaluator.open})
        self._run(self.recorder.run(), self._tell(), *(lane.run() for lane in self._lanes.values()))
        await self._stream.start()
        self._ticked = self._heard = self._clock.monotonic()
        self._run(self._tick(), self._hear())

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
        self._hand_over()
        await asyncio.gather(*(lane.drain(1.0) for lane in self._lanes.values()))
        await self.recorder.drain(0.5)
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for lane in self._lanes.values():
            await lane.close()
        await self._publisher.stop()

    def _run(self, *work: Coroutine[Any, Any, None]) -> None:
        self._tasks += [asyncio.create_task(w) for w in work]

    # -- loops -------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            try:
                await self.processor.tick()
            except BusError as error:
                if error.permanent:
                    raise
                log.warning("transitions wait for the broker", extra={"reason": str(error)})
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
            else:
                self._heard = asked
                if self._hearing.lost:
                    self._evaluator.silence.lose_sight()
                if until is not None:
                    self._evaluator.silence.listened(until)
            await asyncio.sleep(HEAR_SECONDS)

    async def _tell(self) -> None:
        """Hands notifications to the lanes when they are due."""
        while True:
            self.processor.changed.clear()
            self._hand_over()
            due = self._dispatcher.next_due()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(0.0, due - self._clock.monotonic())):
                    await self.processor.changed.wait()

    def _hand_over(self) -> None:
        for notification in self._dispatcher.take(self._clock.monotonic()):
            if lane := self._lanes.get(notification.receiver):
                lane.offer(notification)

    # -- health ------------------------------------------------------------------------------------------------

    def stuck(self) -> str | None:
        seconds = self._clock.monotonic() - self._ticked
        return f"the alerter has decided nothing for {seconds:.0f} s" if seconds > STUCK_SECONDS else None

    def deaf(self) -> str | None:
        seconds = self._clock.monotonic() - self._heard
        return f"the broker has not answered the alerter for {seconds:.0f} s" if seconds > DEAF_SECONDS else None
