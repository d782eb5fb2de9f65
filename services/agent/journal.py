"""The way out beside a broker that forgets: the spool is a journal.

Every event is on disk before it is sent, and leaves it when it is stored, which ``underway.py`` keeps account of.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from services.agent.outbox import Outbox, Verdict
from services.agent.spool import IN_MEMORY, Batch, Position, Spool
from services.agent.underway import Message, Underway
from shared.bus.port import Publisher, Receipt, Stored
from shared.runtime.clock import Clock

log = logging.getLogger(__name__)


class Journal(Outbox):
    def __init__(
        self,
        publisher: Publisher,
        spool: Spool,
        stored: Stored,
        *,
        clock: Clock,
        interval: float = 1.0,
        pack: int = 1,
    ) -> None:
        super().__init__(publisher, spool, clock=clock, interval=interval, pack=pack)
        self._underway = Underway(stored)
        # What is before `_sent_until` was sent, what is behind `_live_from` too, as it came.
        self._sent_until = Position()
        self._live_from: Position | None = None
        self._settled = False

    async def stop(self, within: float = 2.0) -> None:
        """As an ``Outbox`` does; the journal stays open for ``settle``."""
        if not self._closing:
            await self._stop_sending(within)

    async def settle(self, within: float = 1.0) -> None:
        if self._settled:
            return
        self._settled = True
        with suppress(TimeoutError):
            async with asyncio.timeout(within / 2):
                await self._let_go()
        await self._close(within / 2)

    async def _live(self, lines: list[bytes]) -> None:
        before, until = await self.on_disk(self._append, lines)
        self._done(lines)
        if self._may_send() and not self._underway.full:
            verdict, receipt = await self._sent(lines)
            if verdict is Verdict.TAKEN and receipt is not None:
                if self._live_from is None:
                    self._live_from = before
                    await self._count_anew()
                self._underway.add(Message(receipt, until, sum(map(len, lines))), live=True)
                return
            if verdict is Verdict.GIVEN_UP:
                return
        if self._live_from is not None:
            await self._interrupted(before)

    async def _interrupted(self, before: Position) -> None:
        """From ``before`` on events are backlog."""
        backlog_sent = not self.spooled_events
        self._underway.interrupted(backlog_sent=backlog_sent)
        if backlog_sent:
            self._sent_until = before
        self._live_from = None
        await self._count_anew()

    def _append(self, lines: Sequence[bytes]) -> tuple[Position, Position]:
        before = self._spool.end
        self._spool.append(lines)
        return before, self._spool.end

    async def _let_go(self) -> None:
        """Of what is stored; and sends again what never will be."""
        if self._underway.passed_over():
            log.warning("the broker has forgotten events before they were stored, they are sent again")
            self._underway.forget()
            self._sent_until, self._live_from = Position(), None
            await self._count_anew()
            return
        until = self._underway.settled(backlog_sent=not self.spooled_events)
        if until is not None:
            await self.on_disk(self._spool.trim, until)

    def _read(self, most_bytes: int) -> Batch | None:
        return self._spool.read(self._sent_until, most_bytes, self._live_from)

    async def _backlog_sent(self, batch: Batch, receipt: Receipt | None) -> None:
        self._sent_until = batch.until
        if receipt is not None:
            self._underway.add(Message(receipt, batch.until, sum(map(len, batch.lines))), live=False)
        await self._count_anew()

    def _backlog_due(self) -> bool:
        return not self._underway.full and super()._backlog_due()

    def _waiting(self) -> int:
        if self._spool.end.segment != IN_MEMORY:
            # What was in memory is on disk now, under other positions; to send it again is harmless.
            if self._sent_until.segment == IN_MEMORY:
                self._sent_until = Position()
            if self._live_from is not None and self._live_from.segment == IN_MEMORY:
                self._live_from = None
        live = self._spool.events_after(self._live_from) if self._live_from is not None else 0
        return max(0, self._spool.events_after(self._sent_until) - live)

    async def _count_anew(self) -> None:
        """Of what waits, after what counts as sent has changed; by the spool's own thread."""
        await self.on_disk(lambda: None)
