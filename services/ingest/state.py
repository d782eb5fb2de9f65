"""How ingest is doing, for ``/healthz`` and ``/readyz``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shared.bus.port import BusError
from shared.runtime.clock import Clock
from shared.store.port import StoreError

STUCK_SECONDS = 900.0


class State:
    """What the processors of one process report."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._attempts: dict[int, float] = {}
        self._trouble: dict[str, str] = {}
        self._numbers = 0

    @contextmanager
    def working(self) -> Iterator[None]:
        """Around one attempt at a batch."""
        self._numbers += 1
        number = self._numbers
        self._attempts[number] = self._clock.monotonic()
        try:
            yield
        except StoreError as error:
            self._trouble = {"store": str(error)}
            raise
        except BusError as error:
            self._trouble = {"bus": str(error)}
            raise
        else:
            self._trouble = {}
        finally:
            del self._attempts[number]

    def progress(self) -> str | None:
        """A store that is away is no lack of progress (a restart would not help), an insert that never ends is."""
        longest = max((self._clock.monotonic() - since for since in self._attempts.values()), default=0.0)
        return f"a batch has been in the works for {longest:.0f} s" if longest > STUCK_SECONDS else None

    def store(self) -> str | None:
        return self._trouble.get("store")

    def bus(self) -> str | None:
        return self._trouble.get("bus")
