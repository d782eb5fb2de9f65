"""Models that go on: restored with their partition, brought up to date, and saved while they learn."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from zlib import crc32

from services.detector.detection import Detection
from services.detector.states import Saved, States
from shared.bus.port import BusError, Message
from shared.runtime.clock import Clock

log = logging.getLogger(__name__)

SAVE_EVERY = 600.0
"""Seconds; what was learned since is learned again after a kill, from the topic."""
MOST_AT_ONCE = 25
"""States saved in one turn: a thousand hosts are not all due in the same moment."""

Past = Callable[[int, int, int], AsyncIterator[Sequence[Message]]]
"""The messages of the metrics topic in a partition, from an offset to before another."""


@dataclass
class _Home:
    partition: int
    saved_at: float
    learned: bool = True


class Continuity:
    """``learn`` is given each message that was learned before, but by a detector whose memory is gone."""

    def __init__(
        self, detection: Detection, states: States, past: Past, learn: Callable[[Message], None], clock: Clock
    ) -> None:
        self._detection = detection
        self._states = states
        self._past = past
        self._learn = learn
        self._clock = clock
        self._next: dict[int, int] = {}
        self._homes: OrderedDict[str, _Home] = OrderedDict()
        self._failing = False

    async def catch_up(self, batch: Sequence[Message]) -> None:
        """Before a batch is learned: wherever it does not begin where the last one ended, somebody else has learned
        in between, or this detector has just begun. Raises ``BusError``, ``OSError``.
        """
        firsts = {m.partition: m.offset for m in reversed(batch)}
        for partition, first in firsts.items():
            if self._next.get(partition) != first:
                await self._restore(partition, first)
                self._next[partition] = first

    def learned(self, batch: Sequence[Message]) -> None:
        for message in batch:
            self._next[message.partition] = message.offset + 1

    def seen(self, host_id: str, partition: int) -> None:
        """An event of this host has been learned."""
        home = self._homes.get(host_id)
        if home is None or home.partition != partition:
            early = crc32(host_id.encode()) % int(SAVE_EVERY)
            self._homes[host_id] = _Home(partition, self._clock.monotonic() - early)
        else:
            home.learned = True
        self._homes.move_to_end(host_id)

    async def save(self, hosts: Iterable[str]) -> None:
        """What is known of them; a failure is told and no more, they stay due."""
        for host_id in hosts:
            home = self._homes.get(host_id)
            state = self._detection.state(host_id)
            if home is None or state is None:
                self._homes.pop(host_id, None)
                continue
            home.saved_at, home.learned = self._clock.monotonic(), False
            try:
                await self._states.save(home.partition, Saved(host_id, self._next.get(home.partition, 0), state))
            except (BusError, OSError) as error:
                home.learned = True
                if not self._failing:
                    log.warning("what was learned cannot be saved", extra={"host": host_id, "reason": str(error)})
                self._failing = True
            else:
                self._failing = False

    async def save_due(self, batch: Sequence[Message]) -> None:
        """Some at a time, and only of partitions that are ours now: of others there is newer knowledge elsewhere."""
        ours, now = {m.partition for m in batch}, self._clock.monotonic()
        due = (h for h in self._unsaved(ours) if now - self._homes[h].saved_at >= SAVE_EVERY)
        await self.save(list(islice(due, MOST_AT_ONCE)))

    async def save_all(self, partitions: Set[int]) -> None:
        await self.save(list(self._unsaved(partitions)))

    def _unsaved(self, partitions: Set[int]) -> Iterator[str]:
        return (h for h, home in self._homes.items() if home.learned and home.partition in partitions)

    async def _restore(self, partition: int, upto: int) -> None:
        begin, restored = upto, 0
        for saved in await self._states.load(partition):
            if isinstance(saved, str):
                log.warning("a host is learned anew", extra={"reason": saved})
                continue
            try:
                self._detection.restore(saved.host_id, saved.state)
            except ValueError as error:
                log.warning("a host is learned anew", extra={"host": saved.host_id, "reason": str(error)})
                continue
            restored += 1
            begin = min(begin, saved.offset)
            self.seen(saved.host_id, partition)
        again = 0
        if restored and begin < upto:
            async for batch in self._past(partition, begin, upto):
                for message in batch:
                    self._learn(message)
                again += len(batch)
        if restored:
            log.info("models restored", extra={"partition": partition, "hosts": restored, "learned_again": again})
