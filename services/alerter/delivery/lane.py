"""Delivery: retries as a stage around a channel, one lane a receiver, every attempt an event.

A lane keeps the order of what concerns the same alert and lets other messages pass one that waits for its next
attempt. Nobody ever waits for a lane: it takes or, being full, refuses aloud.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from services.alerter.delivery.channels.port import Channel, Delivered, Failed, Outcome
from services.alerter.notification.notification import Notification
from shared.runtime.clock import Clock
from shared.runtime.retry import backoff
from shared.schemas.alert import Delivery, DeliveryOutcome

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 300.0
"""With eight attempts a receiver may be away for about ten minutes."""

MAX_WAITING = 1000

Record = Callable[[Delivery], None]
Wait = Callable[[asyncio.Event, float | None], Awaitable[None]]


@dataclass(slots=True)
class _Job:
    notification: Notification
    due: float
    pauses: Iterator[float] = field(default_factory=lambda: backoff(FIRST_PAUSE_S, 3.0, LONGEST_PAUSE_S))
    attempts: int = 0


class Lane:
    """Of one receiver."""

    def __init__(
        self,
        receiver: str,
        channel: Channel,
        record: Record,
        clock: Clock,
        *,
        max_attempts: int,
        timeout: float,
        wait: Wait | None = None,
    ) -> None:
        """``wait`` is how the lane waits for an event or some seconds; tests pass one that moves their clock."""
        self.receiver = receiver
        self._channel = channel
        self._record = record
        self._clock = clock
        self._max_attempts = max_attempts
        self._timeout = timeout
        self._wait = wait or _wait
        self._jobs: deque[_Job] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.failing: str | None = None
        """Why the last attempt failed; ``None`` when it did not."""

    @property
    def waiting(self) -> int:
        return len(self._jobs)

    def offer(self, notification: Notification) -> None:
        """Never waits."""
        if len(self._jobs) >= MAX_WAITING:
            log.error("a notification was dropped: too many wait for this receiver", extra=self._words(notification))
            self._tell(notification, 0, "gave_up", f"{MAX_WAITING} notifications wait already", None)
            return
        self._jobs.append(_Job(notification, self._clock.monotonic()))
        self._idle.clear()
        self._wake.set()

    async def run(self) -> None:
        """Delivers until cancelled."""
        while True:
            self._wake.clear()
            job, due = self._next(self._clock.monotonic())
            if job is None:
                self._idle.set()
                await self._wait(self._wake, None if due is None else due - self._clock.monotonic())
                continue
            self._idle.clear()
            self._settle(job, await self._attempt(job))

    async def drain(self, within: float) -> None:
        """Waits until nothing is left that could be sent at once, at most ``within`` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._idle.wait()

    async def close(self) -> None:
        await self._channel.close()

    def _next(self, now: float) -> tuple[_Job | None, float | None]:
        """The first job that is due and that no earlier job about one of its alerts holds back; else when to look."""
        held: set[str] = set()
        soonest: float | None = None
        for job in self._jobs:
            if held.isdisjoint(job.notification.alert_ids):
                if job.due <= now:
                    return job, None
                soonest = job.due if soonest is None else min(soonest, job.due)
            held.update(job.notification.alert_ids)
        return None, soonest

    async def _attempt(self, job: _Job) -> Outcome:
        job.attempts += 1
        try:
            async with asyncio.timeout(self._timeout):
                return await self._channel.deliver(job.notification)
        except TimeoutError:
            return Failed(f"not done within {self._timeout:g} s")
        except Exception as error:
            log.exception("a channel failed unexpectedly", extra={"receiver": self.receiver})
            return Failed(f"{type(error).__name__}: {error}")

    def _settle(self, job: _Job, outcome: Outcome) -> None:
        extra = {**self._words(job.notification), "attempt": job.attempts}
        if isinstance(outcome, Delivered):
            self.failing = None
            self._jobs.remove(job)
            self._tell(job.notification, job.attempts, "delivered", outcome.detail, None)
            log.info("notification delivered", extra=extra)
            return
        self.failing = outcome.reason
        extra["reason"] = outcome.reason
        if outcome.permanent or job.attempts >= self._max_attempts:
            self._jobs.remove(job)
            verdict: DeliveryOutcome = "permanent_failure" if outcome.permanent else "gave_up"
            self._tell(job.notification, job.attempts, verdict, outcome.reason, None)
            log.error("notification refused" if outcome.permanent else "notification given up", extra=extra)
            return
        pause = max(next(job.pauses), outcome.retry_after or 0.0)
        job.due = self._clock.monotonic() + pause
        at = self._clock.now_ms() + round(pause * 1000)
        self._tell(job.notification, job.attempts, "temporary_failure", outcome.reason, at)
        log.warning("notification failed, will be tried again", extra={**extra, "seconds": round(pause, 1)})

    def _tell(
        self, notification: Notification, attempt: int, outcome: DeliveryOutcome, detail: str, next_at: int | None
    ) -> None:
        now = self._clock.now_ms()
        self._record(
            Delivery(
                event_id=f"{notification.id}:{attempt}:{now}",
                ts=now,
                notification_id=notification.id,
                host_id=notification.alerts[0].host_id,
                receiver=self.receiver,
                channel=self._channel.name,
                status=notification.status,
                alert_ids=notification.alert_ids,
                attempt=attempt,
                outcome=outcome,
                detail=detail[:2048],
                next_attempt_at=next_at,
            )
        )

    def _words(self, notification: Notification) -> dict[str, object]:
        return {
            "receiver": self.receiver,
            "status": notification.status,
            "rule": notification.rule,
            "alerts": len(notification.alerts),
            "host": notification.alerts[0].host,
        }


async def _wait(event: asyncio.Event, seconds: float | None) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
