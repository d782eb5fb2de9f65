"""The way out: events go to the bus as they come, to the spool while it is away, and from there when it is back.

Live events go first. What is waiting follows in larger messages, marked, and not faster than a multiple of the live
pace, so that a fleet that comes back together does not bury its own present under its past.

A broker that forgets takes nothing off our hands: see ``journal.py``.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import Enum
from typing import TypeVar

from services.agent.spool import Batch, Position, Spool
from shared.bus.port import BusError, Publisher, Receipt
from shared.runtime.clock import Clock
from shared.runtime.retry import backoff
from shared.runtime.selfmetrics import AGENT_DROPPED, AGENT_SENT, AGENT_SPOOLED_BYTES, AGENT_SPOOLED_EVENTS
from shared.schemas.topics import METRICS, SPOOLED_HEADER

log = logging.getLogger(__name__)
T = TypeVar("T")

SPOOLED: Mapping[str, bytes] = {SPOOLED_HEADER: b"1"}
MESSAGE_BYTES = 256 << 10
SLOW_START_BYTES = 32 << 10  # of the first message of the backlog; the next are twice as large, and so on
PATIENCE = 2.0  # seconds a message may be on its way before its events are put on disk as well
BACKLOG_SPEED = 10  # times the live pace
MOST_PENDING = 256  # events in memory; more come together only when the disk, too, is slow
LARGE = 100_000  # bytes: an event refused for good is blamed on its size from here on, on permissions below
REFUSED_RETRY = 30.0  # seconds


class Verdict(Enum):
    """What became of a message."""

    TAKEN = "taken"
    NOT_NOW = "not now"
    REFUSED_TOGETHER = "refused together"
    """For good, but perhaps because of one of its events only."""
    GIVEN_UP = "given up"


class Outbox:
    """For a broker that keeps what it is given: the spool has what it was not given yet."""

    def __init__(
        self,
        publisher: Publisher,
        spool: Spool,
        *,
        clock: Clock,
        interval: float = 1.0,
        pack: int = 1,
    ) -> None:
        self._publisher = publisher
        self._spool = spool
        self._key = ""
        self._clock = clock
        self._interval = interval
        self._pack = pack
        self._pending: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._disk = ThreadPoolExecutor(1, "agent-spool")
        self._task: asyncio.Task[None] | None = None
        self._attempt: asyncio.Task[Receipt] | None = None
        self._closing = False
        self._delays: Iterator[float] = backoff()
        self._try_at = 0.0
        self._backlog_at = 0.0
        self._backlog_bytes = SLOW_START_BYTES
        self._dropped_pending = 0
        self._dropped_refused = 0
        self.away_since: float | None = None
        self.away_because = ""
        self.spooled_events = 0
        """That wait to be sent."""
        self.spooled_bytes = 0

    @property
    def dropped(self) -> int:
        """Events given up since the start, for whatever reason."""
        return self._dropped_pending + self._dropped_refused + self._spool.lost.total

    @property
    def dropped_by_reason(self) -> dict[str, int]:
        """The same, apart: ``pending`` had no room in memory, ``refused`` was too large for the broker, the spool's
        own reasons. Reasons without events are left out.
        """
        reasons = {
            "pending": self._dropped_pending,
            "refused": self._dropped_refused,
            **self._spool.lost.by_reason(),
        }
        return {reason: events for reason, events in reasons.items() if events}

    def start(self, host_id: str) -> None:
        """The spool is open; every message is this host's."""
        self._key = host_id
        self._task = asyncio.create_task(self._run(), name="agent-outbox")

    def put(self, line: bytes) -> None:
        """Take an event. Never waits."""
        self._pending.append(line)
        if len(self._pending) > MOST_PENDING + self._pack:
            self._pending.popleft()
            self._dropped_pending += 1
            AGENT_DROPPED.set(self.dropped)
        self._wake.set()

    async def watch(self) -> None:
        assert self._task is not None
        await asyncio.shield(self._task)

    async def stop(self, within: float = 2.0) -> None:
        """What is pending is sent if that is quick, else kept on disk."""
        if not self._closing:
            await self._stop_sending(within)
            await self._close(within / 2)

    async def settle(self, within: float = 1.0) -> None:
        """The last look, after ``stop`` and after all that could still be stored was."""

    async def _stop_sending(self, within: float) -> None:
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=within / 4)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self.away_since is None and self._pending:
            with suppress(Exception):  # whatever it is, the spool comes next
                async with asyncio.timeout(within / 4):
                    while lines := self._take():
                        await self._live(lines)
        if self._attempt is not None:
            self._attempt.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(within / 2):
                await self._keep(list(self._pending))

    async def _close(self, within: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self.on_disk(self._spool.close)
        self._disk.shutdown(wait=False)

    async def on_disk(self, work: Callable[..., T], *arguments: object) -> T:
        """Run something that may wait for the disk; one thing at a time."""

        def run() -> tuple[T, int, int]:
            result = work(*arguments)
            return result, self._waiting(), self._spool.size

        result, self.spooled_events, self.spooled_bytes = await asyncio.get_running_loop().run_in_executor(
            self._disk, run
        )
        AGENT_SPOOLED_EVENTS.set(self.spooled_events)
        AGENT_SPOOLED_BYTES.set(self.spooled_bytes)
        AGENT_DROPPED.set(self.dropped)
        return result

    def _waiting(self) -> int:
        """Events of the spool that were not sent."""
        return self._spool.events

    async def _run(self) -> None:
        while not self._closing:
            await self._sleep()
            self._follow_attempt()
            await self._let_go()
            if self._enough():
                await self._live(self._take())
            elif self._backlog_due():
                await self._backlog()

    async def _sleep(self) -> None:
        """Until there is something to do."""
        if self._closing or self._enough():
            return
        self._wake.clear()
        until = None
        if self.spooled_events and self._attempt is None:
            until = max(0.0, max(self._backlog_at, self._try_at) - self._clock.monotonic())
        with suppress(TimeoutError):
            async with asyncio.timeout(until):
                await self._wake.wait()

    def _enough(self) -> bool:
        """For a message; what goes to the disk does not wait for others."""
        return len(self._pending) >= (self._pack if self.away_since is None else 1)

    def _take(self) -> list[bytes]:
        """All that is pending, as far as it fits one message: of who answers slowly, the next takes along what came
        meanwhile. They stay pending until they are somewhere safe.
        """
        lines: list[bytes] = []
        size = 0
        for line in self._pending:
            size += len(line) + 1
            if lines and size > MESSAGE_BYTES:
                break
            lines.append(line)
        return lines

    def _done(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            if self._pending and self._pending[0] is line:  # it may have been dropped meanwhile
                self._pending.popleft()

    async def _live(self, lines: list[bytes]) -> None:
        if not self._may_send():
            await self._keep(lines)
            return
        match (await self._sent(lines))[0]:
            case Verdict.TAKEN | Verdict.GIVEN_UP:
                self._done(lines)
            case Verdict.REFUSED_TOGETHER:
                for line in lines:
                    await self._live([line])
            case Verdict.NOT_NOW:
                await self._keep(lines)

    async def _let_go(self) -> None:
        """Looks at what may leave the spool. What was sent has left it."""

    def _may_send(self) -> bool:
        return self._attempt is None and self._clock.monotonic() >= self._try_at

    async def _backlog(self) -> None:
        batch = await self.on_disk(self._read, self._backlog_bytes)
        if batch is None:
            return
        receipt: Receipt | None = None
        if batch.lines:
            verdict, receipt = await self._sent(batch.lines, SPOOLED)
            match verdict:
                case Verdict.NOT_NOW:
                    return
                case Verdict.REFUSED_TOGETHER:
                    self._backlog_bytes = max(1, self._backlog_bytes // 4)
                    return
                case Verdict.TAKEN | Verdict.GIVEN_UP:
                    self._backlog_bytes = min(MESSAGE_BYTES, max(SLOW_START_BYTES, 2 * self._backlog_bytes))
        self._backlog_at = self._clock.monotonic() + len(batch.lines) * self._interval / BACKLOG_SPEED
        await self._backlog_sent(batch, receipt)
        if not self.spooled_events:
            log.info("the spool is empty again")

    def _read(self, most_bytes: int) -> Batch | None:
        """The next events of the spool that were not sent."""
        return self._spool.read(Position(), most_bytes)

    async def _backlog_sent(self, batch: Batch, receipt: Receipt | None) -> None:
        """``receipt`` is ``None`` where nothing of it was worth sending."""
        await self.on_disk(self._spool.trim, batch.until)

    def _backlog_due(self) -> bool:
        return self.spooled_events > 0 and self._may_send() and self._clock.monotonic() >= self._backlog_at

    async def _sent(
        self, lines: Sequence[bytes], headers: Mapping[str, bytes] | None = None
    ) -> tuple[Verdict, Receipt | None]:
        """What is still on its way after ``PATIENCE`` counts as not sent. The receipt is of what was taken."""
        attempt = asyncio.create_task(self._publish(lines, headers))
        try:
            await asyncio.wait({attempt}, timeout=PATIENCE)
        except asyncio.CancelledError:
            attempt.cancel()
            raise
        if not attempt.done():
            self._attempt = attempt
            attempt.add_done_callback(lambda _: self._wake.set())
            self._is_away(BusError(f"the broker has not answered for {PATIENCE:g} s"))
            return Verdict.NOT_NOW, None
        failure = attempt.exception()
        if failure is None:
            self._is_back()
            AGENT_SENT.add(len(lines), "spooled" if headers else "live")
            return Verdict.TAKEN, attempt.result()
        if not isinstance(failure, BusError):
            raise failure
        if failure.permanent and len(lines) > 1:
            return Verdict.REFUSED_TOGETHER, None
        if failure.permanent and len(lines[0]) >= LARGE:
            self._dropped_refused += 1
            log.error("an event was refused for good", extra={"bytes": len(lines[0]), "reason": str(failure)})
            return Verdict.GIVEN_UP, None
        self._is_away(failure)
        return Verdict.NOT_NOW, None

    async def _publish(self, lines: Sequence[bytes], headers: Mapping[str, bytes] | None = None) -> Receipt:
        return await self._publisher.publish(METRICS, self._key, b"\n".join(lines), headers)

    def _follow_attempt(self) -> None:
        """The fate of a message that took too long; its events are in the spool, so sending them again is harmless."""
        attempt = self._attempt
        if attempt is None or not attempt.done():
            return
        self._attempt = None
        failure = attempt.exception()
        if failure is None:
            self._is_back()
        elif isinstance(failure, BusError):
            self._is_away(failure)
        else:
            raise failure

    def _is_away(self, error: BusError) -> None:
        if self.away_since is None:
            self.away_since = self._clock.monotonic()
            log.warning("the broker does not take events, they go to the spool", extra={"reason": str(error)})
        self.away_because = str(error)
        self._try_at = self._clock.monotonic() + (REFUSED_RETRY if error.permanent else next(self._delays))

    def _is_back(self) -> None:
        self._try_at = 0.0
        if self.away_since is None:
            return
        seconds = round(self._clock.monotonic() - self.away_since, 1)
        self.away_since, self.away_because, self._delays = None, "", backoff()
        self._backlog_bytes = SLOW_START_BYTES
        log.info("the broker takes events again", extra={"seconds": seconds, "spooled": self.spooled_events})

    async def _keep(self, lines: Sequence[bytes]) -> None:
        if lines:
            await self.on_disk(self._spool.append, lines)
            self._done(lines)
