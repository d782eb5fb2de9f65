"""What we say on the alerts topic must come back to us: who no longer hears it would take what was told for untold."""

from __future__ import annotations

from collections.abc import Mapping

from shared.bus.port import Publisher, Receipt
from shared.runtime.clock import Clock
from shared.schemas.topics import ALERTS, Topic


class Echo:
    """A publisher that knows for how long nothing has come back."""

    def __init__(self, publisher: Publisher, clock: Clock) -> None:
        self._publisher = publisher
        self._clock = clock
        self._heard = 0
        self._since: float | None = None

    async def start(self) -> None:
        await self._publisher.start()

    async def publish(
        self, topic: Topic, key: str, value: bytes | None, headers: Mapping[str, bytes] | None = None
    ) -> Receipt:
        heard = self._heard
        receipt = await self._publisher.publish(topic, key, value, headers)
        # It may have come back before the broker's answer did.
        if topic is ALERTS and heard == self._heard and self._since is None:
            self._since = self._clock.monotonic()
        return receipt

    def heard(self) -> None:
        """Anything at all: a tail gives what is on its topics in their order, or nothing."""
        self._heard += 1
        self._since = None

    @property
    def missing(self) -> float:
        """Seconds for which nothing has come back."""
        return 0.0 if self._since is None else self._clock.monotonic() - self._since

    async def stop(self) -> None:
        await self._publisher.stop()
