"""Models that go on: restored with their partition, brought up to date, and saved while they learn."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence, Set
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

Untold = Mapping[str, Sequence[bytes]]
"""Values by host."""

Past = Callable[[int, int, int], AsyncIterator[Sequence[Message]]]
"""The messages of the metrics topic in a partition, from an offset to before another."""


@dataclass
class _Home:
    """``heard_ms``: the newest instant of any host when this one was last heard of, so that no clock that is wrong
    looks like silence.
    """

    partition: int
    saved_at: float
    heard_ms: int
    learned: bool = True


class Continuity:
    """``learn`` is given each message that was learned before, but by a detector whose memory is gone. A host that is
    silent for ``forget_ms`` of event time, while others are not, is forgotten, and so is its state; ``mine`` says
    which partitions there are to look after.
    """

    def __init__(
        self,
        detection: Detection,
        states: States,
        past: Past,
        learn: Callable[[Message], None],
        clock: Clock,
        *,
        forget_ms: float,
        mine: Callable[[], Set[int]],
    ) -> None:
        self._detection = detection
        self._states = states
        self._past = past
        self._learn = learn
        self._clock = clock
        self._forget_ms = forget_ms
        self._mine = mine
        self._next: dict[int, int] = {}
        self._homes: OrderedDict[str, _Home] = OrderedDict()
        self._newest_ms = 0
        self._looked = clock.monotonic()
        self._failing = False

    async def catch_up(self, batch: Sequence[Message]) -> list[tuple[str, bytes]]:
        """Before a batch is learned: wherever it does not begin where the last one ended, somebody else has learned
        in between, or this detector has just begun. Returns what that one had learned and not told any more: hosts
        and values. Raises ``BusError``, ``OSError``.
        """
        untold: list[tuple[str, bytes]] = []
        firsts = {m.partition: m.offset for m in reversed(batch)}
        for partition, first in firsts.items():
            if self._next.get(partition) != first:
                untold += await self._restore(partition, first)
                self._next[partition] = first
        return untold

    def learned(self, batch: Sequence[Message]) -> None:
        for message in batch:
            self._next[message.partition] = message.offset + 1

    def seen(self, host_id: str, partition: int, ts_ms: int) -> None:
        """An event of this host has been learned."""
        self._newest_ms = max(self._newest_ms, ts_ms)
        self._at_home(host_id, partition, self._newest_ms)

    def _at_home(self, host_id: str, partition: int, heard_ms: int) -> None:
        home = self._homes.get(host_id)
        if home is None or home.partition != partition:
            early = crc32(host_id.encode()) % int(SAVE_EVERY)
            self._homes[host_id] = _Home(partition, self._clock.monotonic() - early, heard_ms)
        else:
            home.learned, home.heard_ms = True, heard_ms
        self._homes.move_to_end(host_id)

    async def save(self, hosts: Iterable[str], untold: Untold) -> None:
        """What is known of them, with what is still to be told; a failure is logged and no more, they stay due."""
        for host_id in hosts:
            home = self._homes.get(host_id)
            state = self._detection.state(host_id)
            if home is None or state is None:
                self._homes.pop(host_id, None)
                continue
            home.saved_at, home.learned = self._clock.monotonic(), False
            offset, last_ms = self._next.get(home.partition, 0), self._detection.last_ms(host_id)
            saved = Saved(host_id, offset, state, list(untold.get(host_id, ())), last_ms)
            if not await self._kept(self._states.save(home.partition, saved), host_id):
                home.learned = True

    async def save_due(self, batch: Sequence[Message]) -> None:
        """Some at a time, and only of partitions that are ours now: of others there is newer knowledge elsewhere."""
        ours, now = {m.partition for m in batch}, self._clock.monotonic()
        due = (h for h in self._unsaved(ours) if now - self._homes[h].saved_at >= SAVE_EVERY)
        await self.save(list(islice(due, MOST_AT_ONCE)), {})
        if now - self._looked >= SAVE_EVERY:
            self._looked = now
            await self._forget_the_dead()

    async def save_all(self, partitions: Set[int], untold: Untold) -> None:
        await self.save(list(self._unsaved(partitions)), untold)

    def _unsaved(self, partitions: Set[int]) -> Iterator[str]:
        return (h for h, home in self._homes.items() if home.learned and home.partition in partitions)

    async def _forget_the_dead(self) -> None:
        oldest_ms = self._newest_ms - self._forget_ms
        dead = [(home.partition, host_id) for host_id, home in self._homes.items() if home.heard_ms < oldest_ms]
        mine = self._mine()
        for partition in mine - self._next.keys():  # where nobody speaks any more
            dead += [(partition, s.host_id) for s in await self._loaded(partition) if 0 < s.last_ms < oldest_ms]
        for partition, host_id in dead:
            self._homes.pop(host_id, None)
            self._detection.forget(host_id)
            if partition in mine and await self._kept(self._states.forget(partition, host_id), host_id):
                log.info(
                    "a host is forgotten", extra={"host": host_id, "silent_days": round(self._forget_ms / 86.4e6, 1)}
                )

    async def _loaded(self, partition: int) -> list[Saved]:
        try:
            return [saved for saved in await self._states.load(partition) if isinstance(saved, Saved)]
        except (BusError, OSError):
            return []  # another time

    async def _kept(self, work: Awaitable[None], host_id: str) -> bool:
        try:
            await work
        except (BusError, OSError) as error:
            if not self._failing:
                log.warning("what was learned cannot be saved", extra={"host": host_id, "reason": str(error)})
            self._failing = True
            return False
        self._failing = False
        return True

    async def _restore(self, partition: int, upto: int) -> list[tuple[str, bytes]]:
        begin, restored = upto, 0
        untold: list[tuple[str, bytes]] = []
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
            untold += [(saved.host_id, value) for value in saved.untold]
            last_ms = self._detection.last_ms(saved.host_id)
            self._newest_ms = max(self._newest_ms, last_ms)
            self._at_home(saved.host_id, partition, last_ms)
        self._looked = self._clock.monotonic()  # who was away with us has time to speak
        again = 0
        if restored and begin < upto:
            async for batch in self._past(partition, begin, upto):
                for message in batch:
                    self._learn(message)
                again += len(batch)
        if restored:
            log.info("models restored", extra={"partition": partition, "hosts": restored, "learned_again": again})
        return untold
