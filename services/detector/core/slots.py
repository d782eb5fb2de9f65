"""Which metric lives in which place of a host's arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

_TOO_LARGE = 1e18


class Slots:
    """Names to places; a full house gives a newcomer the place of who was away longest."""

    def __init__(self, limit: int, names: Sequence[str] = ()) -> None:
        self._limit = limit
        self.names: list[str] = list(names)
        self._of = {name: i for i, name in enumerate(self.names)}
        self._keys: tuple[str, ...] = ()
        self._index = np.zeros(0, dtype=np.intp)

    def place(self, features: Mapping[str, float], seen: NDArray[np.float64]) -> tuple[list[int], int]:
        """Gives places to new names. ``seen`` (n,): seconds each was last there.
        Returns the places whose metric was replaced, and how many are new at the end.
        """
        strangers = [name for name in features if name not in self._of]
        if not strangers:
            return [], 0
        room = self._limit - len(self.names)
        added, waiting = strangers[:room], strangers[room:]
        for name in added:
            self._of[name] = len(self.names)
            self.names.append(name)
        replaced: list[int] = []
        if waiting:
            absent = [i for i in np.argsort(seen, kind="stable").tolist() if self.names[i] not in features]
            for name, slot in zip(waiting, absent, strict=False):
                del self._of[self.names[slot]]
                self._of[name], self.names[slot] = slot, name
                replaced.append(slot)
        self._keys = ()
        return replaced, len(added)

    def read(self, features: Mapping[str, float]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Places and values of what is known and finite."""
        values = np.fromiter(features.values(), dtype=np.float64, count=len(features))
        keys = tuple(features)
        if keys != self._keys:
            self._keys = keys
            self._index = np.array([self._of.get(name, -1) for name in keys], dtype=np.intp)
        good = (np.abs(values) < _TOO_LARGE) & (self._index >= 0)
        return (self._index, values) if good.all() else (self._index[good], values[good])
