"""The frozen models as a channel of the detector: one number for each reading of a host that has a model."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from shared.models import registry
from shared.models.frozen import Frozen, frozen
from shared.models.holder import Holder
from shared.runtime.clock import Clock

LOOK_EVERY = 3.0  # seconds
AGAIN_AFTER = 60.0  # seconds until a refused model is tried again
FRESH_MS = 900_000
"""For so long a metric's last value stands in: disks and the like are measured less often than CPU."""


class FrozenChannel:
    """One host's readings against its frozen model. Event time only."""

    def __init__(self, model: Frozen) -> None:
        self._model = model
        self._at = {name: number for number, name in enumerate(model.features)}
        self._values = np.zeros(len(self._at))
        self._last_ms = 0
        self._forget()

    def _forget(self) -> None:
        self._seen = [-math.inf] * len(self._at)
        self._whole_until = -math.inf

    def score(self, ts_ms: int, features: Mapping[str, float]) -> float | None:
        """0..1 is normal, above 1 is not. ``None`` where a metric of the model has no value, now or within
        ``FRESH_MS``: then the model does not fit the host, or not yet. Metrics that it does not know are ignored.
        """
        if ts_ms < self._last_ms:
            self._forget()  # the host's clock was set back
        self._last_ms = ts_ms
        at, values, seen = self._at, self._values, self._seen
        for name, value in features.items():
            number = at.get(name)
            if number is not None:
                values[number] = value
                seen[number] = ts_ms
        if ts_ms > self._whole_until:
            oldest = min(seen)
            if ts_ms - oldest > FRESH_MS:
                return None
            self._whole_until = oldest + FRESH_MS
        score = self._model.score(values)
        return None if math.isnan(score) else score


class _Host:
    """``looked``: the generation and the instant of the last look."""

    __slots__ = ("channel", "generation", "holder", "looked", "model")

    def __init__(self, holder: Holder[Frozen]) -> None:
        self.holder = holder
        self.generation = -1
        self.looked = 0.0
        self.model: Frozen | None = None
        self.channel: FrozenChannel | None = None


class Channels:
    """Every host's channel, from the models in ``directory``; a model put into use there is taken up within
    ``LOOK_EVERY``, the clock's only use. The ``most`` hosts heard of last are remembered.
    """

    def __init__(self, directory: Path, clock: Clock, most: int = 10_000) -> None:
        self._directory = directory
        self._clock = clock
        self._most = most
        self._hosts: OrderedDict[str, _Host] = OrderedDict()
        self._changed = directory / "frozen" / registry.CHANGED
        self._stamp: tuple[int, int] | None = None
        self._generation = 0
        self._looked = -LOOK_EVERY

    def score(self, host_id: str, ts_ms: int, features: Mapping[str, float]) -> float | None:
        """0..1 is normal, above 1 is not; ``None`` where the host has no model in use, or none that fits."""
        now = self._clock.monotonic()
        if now - self._looked >= LOOK_EVERY:
            self._look(now)
        host = self._hosts.get(host_id)
        if host is None:
            host = self._remember(host_id)
        else:
            self._hosts.move_to_end(host_id)
        if host.generation != self._generation or (host.holder.refused and now - host.looked >= AGAIN_AFTER):
            self._refresh(host, now)
        return host.channel.score(ts_ms, features) if host.channel else None

    def _look(self, now: float) -> None:
        self._looked = now
        try:
            found = self._changed.stat()
        except OSError:
            stamp = None
        else:
            stamp = found.st_ino, found.st_mtime_ns
        if stamp != self._stamp:
            self._stamp = stamp
            self._generation += 1

    def _remember(self, host_id: str) -> _Host:
        while len(self._hosts) >= self._most:
            self._hosts.popitem(last=False)
        host = self._hosts[host_id] = _Host(Holder(self._directory, "frozen", host_id, frozen))
        return host

    def _refresh(self, host: _Host, now: float) -> None:
        host.generation, host.looked = self._generation, now
        host.holder.refresh()
        if host.holder.value is not host.model:
            host.model = host.holder.value
            host.channel = FrozenChannel(host.model) if host.model else None
