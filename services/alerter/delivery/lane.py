"""Delivery: retries as a stage around a channel, one lane for each channel of a receiver, every attempt an event.

A lane keeps the order of what concerns the same alert and lets other messages pass one that waits for its next
attempt. Nobody ever waits for a lane: it takes or, being full, refuses aloud.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from services.alerter.delivery.channels.port import Channel, Delivered, Failed, Outcome
from services.alerter.notification.notification import Notification
from shared.runtime.clock import Clock
from shared.runtime.retry import backoff
from shared.runtime.selfmetrics import ALERTER_DELIVERIES, ALERTER_DROPPED
from shared.schemas.alert import Delivery, DeliveryOutcome, Occasion

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 300.0
"""With eight attempts a receiver may be away for about ten minutes."""

MAX_WAITING = 1000
GATE_PAUSE_S = 1.0
MOST_IDS = 5000
"""Alert ids in one event: a record of more is several events, for a broker refuses what is too large."""

_IN_TURN: frozenset[Occasion] = frozenset(("first", "changed", "repeat", "worsened", "resolved"))
"""Occasions of which the newest says how things stand."""

Record = Callable[[Delivery], None]
Wait = Callable[[asyncio.Event, float | None], Awaitable[None]]
Gate = Callable[[], bool | Awaitable[bool]]
"""Whether an attempt may begin now."""


@dataclass(slots=True)
class Job:
    notification: Notification
    due: float
    pauses: Iterator[float] = field(default_factory=lambda: backoff(FIRST_PAUSE_S, 3.0, LONGEST_PAUSE_S))
    attempts: int = 0
    alert_ids: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.alert_ids = frozenset(alert_ids(self.notification))


class Lane:
    """Of one channel of one receiver."""

    def __init__(
        self,
        receiver: str,
        channel: Channel,
        record: Record,
        clock: Clock,
        *,
        max_attempts: int,
        timeout: float,
        may_deliver: Gate | None = None,
        wait: Wait | None = None,
    ) -> None:
        """``timeout``: seconds one attempt may take. While ``may_deliver`` says no, no attempt begins.

        ``wait`` is how the lane waits for an event or some seconds; tests pass one that moves their clock.
        """
        self.receiver = receiver
        self._channel = channel
        self._record = record
        self._clock = clock
        self._max_attempts = max_attempts
        self._timeout = timeout
        self._may_deliver = may_deliver or _always
        self._wait = wait or _wait
        self._jobs: deque[Job] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._retired = False
        self._under_way: Job | None = None
        self._ended = asyncio.Event()
        self.failing: str | None = None
        """Why the last attempt failed; ``None`` when it did not."""

    @property
    def channel(self) -> str:
        return self._channel.name

    @property
    def waiting(self) -> int:
        return len(self._jobs)

    def offer(self, notification: Notification) -> None:
        """Never waits. What waits here already is not taken twice; what failed gives way to newer words on the same."""
        if any(job.notification.id == notification.id for job in self._jobs):
            return
        for job in [j for j in self._jobs if j is not self._under_way and _gives_way(j, notification)]:
            self._drop(job)
            self.give_up(job, "newer words on the same took its place")
        if len(self._jobs) >= MAX_WAITING:
            log.error("a notification was dropped: too many wait for this receiver", extra=self._words(notification))
            ALERTER_DROPPED.add()
            self._tell(notification, 0, "gave_up", f"{MAX_WAITING} notifications wait already", None)
            return
        self._jobs.append(Job(notification, self._clock.monotonic()))
        self._idle.clear()
        self._wake.set()

    def adopt(self, jobs: Iterable[Job]) -> None:
        """Goes on with what another lane of the same channel left, before anything of its own."""
        self._jobs.extendleft(reversed(list(jobs)))
        self._idle.clear()
        self._wake.set()

    def forget(self) -> None:
        """What waits is somebody else's to deliver; nothing is recorded of it."""
        self._jobs.clear()
        self._wake.set()

    async def run(self) -> None:
        """Delivers until it is cancelled, or retired."""
        try:
            while not self._retired:
                self._wake.clear()
                job, due = self._next(self._clock.monotonic())
                if job is None:
                    self._idle.set()
                    await self._wait(self._wake, None if due is None else due - self._clock.monotonic())
                elif not await self._allowed():
                    self._idle.set()
                    await self._wait(self._wake, GATE_PAUSE_S)
                else:
                    self._idle.clear()
                    self._under_way = job
                    outcome = await self._attempt(job)
                    self._under_way = None
                    self._settle(job, outcome)
        finally:
            self._idle.set()
            self._ended.set()

    async def drain(self, within: float) -> None:
        """Waits until nothing is left that could be sent at once, at most ``within`` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._idle.wait()

    async def retire(self) -> list[Job]:
        """Ends ``run`` once the attempt under way is over. What it did not settle, in order."""
        self._retired = True
        self._wake.set()
        await self._ended.wait()
        jobs, self._jobs = list(self._jobs), deque()
        return jobs

    def give_up(self, job: Job, why: str) -> None:
        """Records that it will not be delivered."""
        log.error("notification given up", extra={**self._words(job.notification), "reason": why})
        self._tell(job.notification, job.attempts, "gave_up", why, None)

    async def close(self) -> None:
        await self._channel.close()

    async def _allowed(self) -> bool:
        try:
            answer = self._may_deliver()
            return bool(await answer) if inspect.isawaitable(answer) else bool(answer)
        except Exception:
            log.exception("whether a delivery may begin is not known", extra={"receiver": self.receiver})
            return False

    def _next(self, now: float) -> tuple[Job | None, float | None]:
        """The first job that is due and that no earlier job about one of its alerts holds back; else when to look."""
        held: set[str] = set()
        soonest: float | None = None
        for job in self._jobs:
            ids = job.alert_ids
            if held.isdisjoint(ids):
                if job.due <= now:
                    return job, None
                soonest = job.due if soonest is None else min(soonest, job.due)
            held.update(ids)
        return None, soonest

    async def _attempt(self, job: Job) -> Outcome:
        job.attempts += 1
        try:
            async with asyncio.timeout(self._timeout):
                return await self._channel.deliver(job.notification)
        except TimeoutError:
            return Failed(f"not done within {self._timeout:g} s")
        except Exception as error:
            log.exception("a channel failed unexpectedly", extra={"receiver": self.receiver, "channel": self.channel})
            return Failed(f"{type(error).__name__}: {error}")

    def _settle(self, job: Job, outcome: Outcome) -> None:
        extra = {**self._words(job.notification), "attempt": job.attempts}
        if isinstance(outcome, Delivered):
            self.failing = None
            self._drop(job)
            self._tell(job.notification, job.attempts, "delivered", outcome.detail, None)
            log.info("notification delivered", extra=extra)
            return
        self.failing = outcome.reason
        extra["reason"] = outcome.reason
        if outcome.permanent or job.attempts >= self._max_attempts:
            self._drop(job)
            verdict: DeliveryOutcome = "permanent_failure" if outcome.permanent else "gave_up"
            self._tell(job.notification, job.attempts, verdict, outcome.reason, None)
            log.error("notification refused" if outcome.permanent else "notification given up", extra=extra)
            return
        pause = max(next(job.pauses), outcome.retry_after or 0.0)
        job.due = self._clock.monotonic() + pause
        at = self._clock.now_ms() + round(pause * 1000)
        self._tell(job.notification, job.attempts, "temporary_failure", outcome.reason, at)
        log.warning("notification failed, will be tried again", extra={**extra, "seconds": round(pause, 1)})

    def _drop(self, job: Job) -> None:
        # It may have been forgotten meanwhile, and offered again.
        self._jobs = deque(j for j in self._jobs if j.notification.id != job.notification.id)

    def _tell(
        self, notification: Notification, attempt: int, outcome: DeliveryOutcome, detail: str, next_at: int | None
    ) -> None:
        ALERTER_DELIVERIES.add(1, outcome)
        for delivery in records(notification, self.channel, attempt, outcome, detail, next_at, self._clock.now_ms()):
            self._record(delivery)

    def _words(self, notification: Notification) -> dict[str, object]:
        first = notification.alerts[0] if notification.alerts else None
        return {
            "receiver": self.receiver,
            "channel": self.channel,
            "status": notification.status,
            "occasion": notification.occasion,
            "rule": first.rule if first else "",
            "alerts": len(notification.alerts),
            "host": first.host if first else "",
        }


def _gives_way(job: Job, newer: Notification) -> bool:
    """Whether it failed and is old news: of the same group, about alerts of which ``newer`` speaks too."""
    older = job.notification
    return (
        job.attempts > 0
        and older.group_key == newer.group_key
        and _IN_TURN.issuperset((older.occasion, newer.occasion))
        and not job.alert_ids.isdisjoint(alert_ids(newer))
    )


def alert_ids(notification: Notification) -> list[str]:
    """Of every alert that it settles."""
    return list(dict.fromkeys([*(a.alert_id for a in notification.alerts), *notification.ids]))


def records(
    notification: Notification,
    channel: str,
    attempt: int,
    outcome: DeliveryOutcome,
    detail: str,
    next_at: int | None,
    now_ms: int,
) -> Iterator[Delivery]:
    """One attempt as an event; as several where it is about more than ``MOST_IDS`` alerts."""
    ids = alert_ids(notification)
    ended = {a.alert_id for a in notification.resolved}
    for start in range(0, max(1, len(ids)), MOST_IDS):
        part = ids[start : start + MOST_IDS]
        yield Delivery(
            event_id=f"{notification.id}:{channel}:{attempt}:{now_ms}" + (f":{start}" if start else ""),
            ts=now_ms,
            notification_id=notification.id,
            host_id=notification.alerts[0].host_id if notification.alerts else "none",
            receiver=notification.receiver,
            channel=channel,
            status=notification.status,
            alert_ids=part,
            attempt=attempt,
            outcome=outcome,
            detail=detail[:2048],
            next_attempt_at=next_at,
            occasion=notification.occasion,
            group_key=notification.group_key[:4096],
            resolved_ids=[i for i in part if i in ended],
        )


def _always() -> bool:
    return True


async def _wait(event: asyncio.Event, seconds: float | None) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
