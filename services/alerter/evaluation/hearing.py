"""Are we hearing everything? Asked of the broker itself, because a broker that is away looks like silence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from shared.bus.port import Message

Place = tuple[str, int]
"""``(topic, partition)``"""


_MOST_CHECKS = 64
"""Further behind than so many checks, every second one does to say how far."""


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
        self._asked: list[tuple[float, Mapping[Place, int]]] = []
        """Checks whose ends are not all processed yet, oldest first."""
        self.assigned = False
        """Whether anything is ours to hear, as of the last check."""

    def processed(self, batch: Iterable[Message]) -> None:
        for message in batch:
            self._next[message.topic, message.partition] = message.offset + 1

    def reset(self) -> None:
        """Nothing is known any more: an answer did not come."""
        self._asked.clear()

    async def check(self, now: float) -> float | None:
        """Until when everything has been heard: the time of the last check before whose ends have been processed.

        ``None`` where that cannot be said: we are behind, or partitions came and went. Raises what the broker's
        client raises.
        """
        ends = await self._ends.ends()
        self.assigned = bool(ends)
        # Who has a partition meanwhile reads on in it, so when it comes back our own place in it says nothing.
        self._next = {place: n for place, n in self._next.items() if place in ends}
        if not self._asked or self._asked[-1][1].keys() != ends.keys():
            self._asked = [(now, ends)] if ends else []
            return None
        for place, end in ends.items():
            if place not in self._next:
                self._next[place] = await self._ends.position(place)
            if end < self._asked[-1][1][place]:
                self._next.pop(place)  # another broker, or the topic was made anew
                self._asked = [(now, ends)]
                return None
        heard = None
        while self._asked and all(self._next[place] >= end for place, end in self._asked[0][1].items()):
            heard = self._asked.pop(0)[0]
        if len(self._asked) >= _MOST_CHECKS:
            del self._asked[1::2]
        self._asked.append((now, ends))
        return heard


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
