"""Are we hearing everything? Asked of the broker itself, because a broker that is away looks like silence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from shared.bus.port import Message

Place = tuple[str, int]
"""``(topic, partition)``"""


class Ends(Protocol):
    async def ends(self) -> Mapping[Place, int]:
        """The offset after the last message of every partition assigned to us, from the broker, now."""
        ...

    async def position(self, place: Place) -> int:
        """The offset we would read next from a partition nothing was read from yet."""
        ...


class Hearing:
    """``check`` is called every second or so."""

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._next: dict[Place, int] = {}
        self._asked: tuple[float, Mapping[Place, int]] | None = None
        self._ours: frozenset[Place] = frozenset()
        self.lost: frozenset[Place] = frozenset()
        """Partitions that the last check found to be somebody else's now."""

    def processed(self, batch: Iterable[Message]) -> None:
        for message in batch:
            self._next[message.topic, message.partition] = message.offset + 1

    def reset(self) -> None:
        """Nothing is known any more: an answer did not come."""
        self._asked = None

    async def check(self, now: float) -> float | None:
        """Until when everything has been heard: the time of the last check whose ends have been processed since.

        ``None`` where that cannot be said: we are behind, or partitions came and went. Raises what the broker's
        client raises.
        """
        before, ends = self._asked, await self._ends.ends()
        self._asked = (now, ends)
        if ends:
            self.lost, self._ours = self._ours - ends.keys(), frozenset(ends)
        if not ends or before is None or before[1].keys() != ends.keys():
            return None
        for place, end in before[1].items():
            if place not in self._next:
                self._next[place] = await self._ends.position(place)
            if ends[place] < end:
                self._next.pop(place)  # another broker, or the topic was made anew
                return None
            if self._next[place] < end:
                return None
        return before[0]


class FaustEnds:
    """What a Faust app's consumer knows."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def ends(self) -> Mapping[Place, int]:
        assigned = self._app.consumer.assignment()
        found = await self._app.consumer.highwaters(*assigned) if assigned else {}
        return {(tp.topic, tp.partition): end or 0 for tp, end in found.items()}

    async def position(self, place: Place) -> int:
        tp = next(t for t in self._app.consumer.assignment() if (t.topic, t.partition) == place)
        return await self._app.consumer.position(tp) or 0
