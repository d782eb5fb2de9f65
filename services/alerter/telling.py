"""Step two: what the notifier decides is said and sent, by whoever holds the lease."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from services.alerter.delivery.lanes import Lanes
from services.alerter.delivery.recorder import Recorder
from services.alerter.notification.notifier import Notifier
from shared.runtime.clock import Clock

log = logging.getLogger(__name__)

SETTLE_S = 0.5
"""After the lease was given to us: the last records of who had it before are on the topic, and may not be here yet."""
LOOK_S = 1.0
"""A clock that jumps, a lease that is gone without a word: nothing waits longer before it is looked at again."""
LEAST_PAUSE_S = 0.01


class Telling:
    def __init__(
        self,
        notifier: Notifier,
        lanes: Lanes,
        recorder: Recorder,
        clock: Clock,
        *,
        may: Callable[[], bool],
        behind: Callable[[], bool],
        changed: asyncio.Event,
    ) -> None:
        """``may``: whether we hold the lease. ``behind``: whether the topics have something we have not heard.
        ``changed`` is set when there may be something new to decide, and whenever something was heard.
        """
        self._notifier = notifier
        self._lanes = lanes
        self._recorder = recorder
        self._clock = clock
        self._may = may
        self._behind = behind
        self.changed = changed
        self._since: float | None = None

    def leads(self, ours: bool) -> None:
        """The lease came, or went."""
        log.info("this alerter holds the lease" if ours else "this alerter has given up the lease")
        self._since = self._clock.monotonic() if ours else None
        if not ours:
            self._notifier.stand_down()
            self._lanes.forget()
        self.changed.set()

    async def hand_over(self) -> None:
        """What is under way is finished and put on record, before another one goes on."""
        self._since = None
        await self._lanes.drain(2.0)
        await self._recorder.drain(1.0)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.changed.clear()
            pause = self.decide()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(pause, LOOK_S)):
                    await self.changed.wait()

    def decide(self) -> float:
        """Seconds until there is something to decide again."""
        if self._since is None or not self._may():
            if not self._behind():
                self._notifier.rest(self._clock.now_ms())
            return LOOK_S
        settled = self._since + SETTLE_S - self._clock.monotonic()
        if settled > 0:
            return max(settled, LEAST_PAUSE_S)
        if self._behind():
            return LOOK_S  # what is heard wakes us before
        now = self._clock.now_ms()
        decision = self._notifier.decide(now)
        for attention in decision.attention:
            self._recorder.record(attention)
        for notification in decision.notifications:
            self._lanes.offer(notification)
        due = self._notifier.next_due()
        return LOOK_S if due is None else max((due - now) / 1000, LEAST_PAUSE_S)
