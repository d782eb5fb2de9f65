"""The lanes of all receivers; receivers may come, change and go while messages wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from services.alerter.delivery.channels.port import Channel
from services.alerter.delivery.lane import Gate, Job, Lane, Record, Wait, records
from services.alerter.notification.notification import Notification
from services.alerter.routing.receiver import Receiver
from shared.runtime.clock import Clock
from shared.runtime.settings import SettingsError

log = logging.getLogger(__name__)

Build = Callable[[Receiver], list[Channel]]
"""Raises ``SettingsError`` where the receiver cannot work."""


@dataclass(slots=True)
class _Entry:
    receiver: Receiver
    lanes: dict[str, Lane]


class Lanes:
    def __init__(
        self,
        build: Build,
        record: Record,
        clock: Clock,
        *,
        max_attempts: int,
        timeout: float,
        may_deliver: Gate | None = None,
        wait: Wait | None = None,
    ) -> None:
        """As a ``Lane``'s, for all of them."""
        self._build = build
        self._record = record
        self._clock = clock
        self._max_attempts = max_attempts
        self._timeout = timeout
        self._may_deliver = may_deliver
        self._wait = wait
        self._entries: dict[str, _Entry] = {}
        self._made: dict[str, tuple[Receiver, list[Channel]]] = {}
        """Receivers' channels that nobody uses yet."""
        self._leaving: set[Lane] = set()
        """Those that finish the attempt under way."""
        self._running: set[asyncio.Task[None]] = set()
        self._failed = asyncio.Event()
        self._failure: BaseException | None = None

    def prepare(self, receivers: Iterable[Receiver]) -> None:
        """Makes what the next ``set`` needs. Raises ``SettingsError`` on a receiver that cannot work."""
        for receiver in receivers:
            self._made[receiver.name] = receiver, self._build(receiver)

    def set(self, receivers: Iterable[Receiver]) -> dict[str, str]:
        """These and no others, from now on; never waits. Receiver -> why it cannot work as it is written.

        One that did not change keeps its lanes. One that changed goes on with what waited for it; one that cannot work
        stays as it was. One that is gone finishes the attempt under way, and what still waits for it is given up aloud.
        """
        problems: dict[str, str] = {}
        before, self._entries = self._entries, {}
        for receiver in receivers:
            known = before.pop(receiver.name, None)
            if known and known.receiver == receiver:
                self._entries[receiver.name] = known
                continue
            try:
                channels = self._channels(receiver)
            except SettingsError as error:
                problems[receiver.name] = str(error)
                if known:
                    self._entries[receiver.name] = known
                continue
            self._entries[receiver.name] = self._open(receiver, channels, known.lanes if known else {})
        for gone in before.values():
            self._bury(gone.lanes.values())
        return problems

    def offer(self, notification: Notification) -> None:
        """To the channels of its receiver that it is for; never waits."""
        entry = self._entries.get(notification.receiver)
        if entry is None:
            log.error("a notification has no receiver", extra={"receiver": notification.receiver})
            why = f"there is no receiver `{notification.receiver}`, or it cannot work as it is written"
            for delivery in records(notification, "none", 0, "gave_up", why, None, self._clock.now_ms()):
                self._record(delivery)
            return
        only = notification.channel
        lanes = [lane for name, lane in entry.lanes.items() if only in ("", name)]
        if not lanes:
            why = f"`{notification.receiver}` is not told by `{only}` any more"
            for delivery in records(notification, only, 0, "permanent_failure", why, None, self._clock.now_ms()):
                self._record(delivery)
        for lane in lanes:
            lane.offer(notification)

    def failing(self) -> dict[str, str]:
        """``receiver channel`` -> why its last attempt failed."""
        found = {f"{n} {lane.channel}": lane.failing for n, e in self._entries.items() for lane in e.lanes.values()}
        return {name: why for name, why in found.items() if why is not None}

    @property
    def waiting(self) -> int:
        return sum(lane.waiting for lane in self._open_lanes())

    def forget(self) -> None:
        """What waits is somebody else's to deliver."""
        for lane in (*self._leaving, *self._open_lanes()):
            lane.forget()

    async def watch(self) -> None:
        """Until a lane breaks, with what broke it."""
        await self._failed.wait()
        assert self._failure
        raise self._failure

    async def drain(self, within: float) -> None:
        """Waits until nothing is left that could be sent at once, at most ``within`` seconds."""
        await asyncio.gather(*(lane.drain(within) for lane in self._open_lanes()))

    async def close(self) -> None:
        """What still waits is neither delivered nor recorded."""
        lanes, self._entries = self._open_lanes(), {}
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        for lane in lanes:
            await lane.close()
        made, self._made = self._made, {}
        for _, channels in made.values():
            for channel in channels:
                await channel.close()

    def _open_lanes(self) -> list[Lane]:
        return [lane for entry in self._entries.values() for lane in entry.lanes.values()]

    def _channels(self, receiver: Receiver) -> list[Channel]:
        prepared, channels = self._made.pop(receiver.name, (None, []))
        return channels if prepared == receiver else self._build(receiver)

    def _open(self, receiver: Receiver, channels: Iterable[Channel], before: dict[str, Lane]) -> _Entry:
        left = dict(before)
        entry = _Entry(receiver, {})
        for channel in channels:
            lane = Lane(
                receiver.name,
                channel,
                self._record,
                self._clock,
                max_attempts=self._max_attempts,
                timeout=self._timeout,
                may_deliver=self._may_deliver,
                wait=self._wait,
            )
            entry.lanes[channel.name] = lane
            self._run(self._follow(lane, left.pop(channel.name, None)))
        self._bury(left.values())
        return entry

    def _bury(self, lanes: Iterable[Lane]) -> None:
        for lane in lanes:
            self._run(self._end(lane))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (failure := task.exception()):
            self._failure = failure
            self._failed.set()

    async def _follow(self, lane: Lane, before: Lane | None) -> None:
        if before:
            async with self._leave(before) as jobs:
                lane.adopt(jobs)
        await lane.run()

    async def _end(self, lane: Lane) -> None:
        async with self._leave(lane) as jobs:
            for job in jobs:
                lane.give_up(job, "the receiver, or this way to tell it, is no longer set up")

    @asynccontextmanager
    async def _leave(self, lane: Lane) -> AsyncIterator[list[Job]]:
        """What it did not settle; closed afterwards."""
        self._leaving.add(lane)
        try:
            yield await lane.retire()
        finally:
            self._leaving.discard(lane)
            await lane.close()
