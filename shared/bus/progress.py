"""How far a group has come, and whether it stands still although there is something to read. Pure; told the time."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence

from shared.bus.port import Message

Partition = tuple[str, int]
HOLES = 1000
"""Remembered of a partition, the newest."""


class Progress:
    """``stalled_after``: seconds without a batch begun or finished, while messages wait, that count as standing still.

    A handler at work is not a stall, however long it takes: a store may be away for hours. What was handled and is not
    committed is one after the same time, whoever is at work: commits wait for nobody.
    """

    def __init__(self, stalled_after: float) -> None:
        self._stalled_after = stalled_after
        self._next: dict[Partition, int] = {}
        self._holes: dict[Partition, deque[range]] = {}
        self._ends: dict[Partition, int] = {}
        self._at_work = 0
        self._waiting_since: float | None = None
        self._oldest_at_work: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}
        self._uncommitted_since: dict[Partition, float] = {}

    def begun(self, batch: Sequence[Message] = ()) -> None:
        self._at_work += 1
        self._waiting_since = None
        for message in batch:
            self._oldest_at_work.setdefault((message.topic, message.partition), message.timestamp_ms)

    def finished(self, batch: Sequence[Message], *, handled: bool) -> None:
        self._at_work -= 1
        self._waiting_since = None
        for message in batch:
            self._oldest_at_work.pop((message.topic, message.partition), None)
            if handled:
                self._pass(message)

    def _pass(self, message: Message) -> None:
        partition = message.topic, message.partition
        expected = self._next.get(partition, message.offset)
        if message.offset > expected:
            self._holes.setdefault(partition, deque(maxlen=HOLES)).append(range(expected, message.offset))
        self._next[partition] = message.offset + 1

    def assigned(self, partitions: Collection[Partition]) -> None:
        """These, and no others, are ours from now on."""
        self._next = {p: offset for p, offset in self._next.items() if p in partitions}
        self._holes = {p: holes for p, holes in self._holes.items() if p in partitions}
        self._ends = {p: end for p, end in self._ends.items() if p in partitions}
        self._oldest_at_work = {p: ms for p, ms in self._oldest_at_work.items() if p in partitions}
        self._committed.clear()
        self._uncommitted_since.clear()
        self._waiting_since = None

    def measured(self, ends: Mapping[Partition, int], starts: Mapping[Partition, int]) -> None:
        """``ends``: the offsets after the last messages the broker has; ``starts``: where the group began to read,
        for those of which it is known.
        """
        for partition, end in ends.items():
            if partition in starts:
                self._next.setdefault(partition, starts[partition])
                self._ends[partition] = max(end, self._ends.get(partition, 0))

    def handled(self, partition: Partition, offset: int) -> bool:
        """Whether the message at ``offset`` has been, since this process was given the partition. One the broker cut
        off before it was read never has, though later ones have.
        """
        return offset < self._next.get(partition, 0) and not any(
            offset in hole for hole in self._holes.get(partition, ())
        )

    def reached(self, partition: Partition) -> int:
        """The offset after the last message that was handled, 0 where none was."""
        return self._next.get(partition, 0)

    def forgotten(self, partition: Partition) -> None:
        """It is another partition by the same name now, and nothing of it was read."""
        for told in (
            self._next, self._holes, self._ends, self._oldest_at_work, self._committed, self._uncommitted_since
        ):  # fmt: skip
            told.pop(partition, None)

    def lag(self) -> int:
        """Messages the broker had when last measured, and no handler has finished with."""
        return sum(max(0, end - self._next[partition]) for partition, end in self._ends.items())

    def lag_of_topics(self) -> dict[str, int]:
        """``lag`` by topic, for every topic that was measured."""
        lag: dict[str, int] = {}
        for partition, end in self._ends.items():
            lag[partition[0]] = lag.get(partition[0], 0) + max(0, end - self._next[partition])
        return lag

    def oldest_of_topics(self) -> dict[str, int]:
        """By topic, the timestamp (ms) of the oldest message that a handler is at work on."""
        oldest: dict[str, int] = {}
        for (topic, _), ms in self._oldest_at_work.items():
            oldest[topic] = min(ms, oldest.get(topic, ms))
        return oldest

    def committed(self, offsets: Mapping[Partition, int], now: float) -> None:
        """``offsets``: where each partition's next reader would begin, as the broker has confirmed it."""
        for partition, handled in self._next.items():
            offset = offsets.get(partition)
            if offset is None or offset >= handled:
                self._uncommitted_since.pop(partition, None)
            elif offset != self._committed.get(partition, offset):
                self._uncommitted_since[partition] = now
            else:
                self._uncommitted_since.setdefault(partition, now)
            if offset is not None:
                self._committed[partition] = offset

    def uncommitted(self, now: float) -> int:
        """Messages handled but not committed, of partitions where nothing was for ``stalled_after`` seconds."""
        return sum(
            self._next[partition] - self._committed[partition]
            for partition, since in self._uncommitted_since.items()
            if now - since >= self._stalled_after
        )

    def stalled(self, now: float) -> bool:
        if self._at_work or not self.lag():
            self._waiting_since = None
            return False
        if self._waiting_since is None:
            self._waiting_since = now
        return now - self._waiting_since >= self._stalled_after

    def excused(self) -> None:
        """It could not have gone on: the broker is away."""
        self._waiting_since = None
        self._uncommitted_since.clear()
