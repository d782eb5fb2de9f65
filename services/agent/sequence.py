"""A host's numbers and instants go on growing after a restart, at the price of a write every few minutes."""

from __future__ import annotations

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

BLOCK = 256


class Sequence:
    """The file holds a number not yet given out; a block beyond it is reserved before it is used.

    After a clean stop the numbers go on without a gap; after a kill, up to a block of them is missing. Without a file
    (the first start, or a lost disk) they begin at the milliseconds since 1970: above whatever was given out before, as
    no host sends a thousand events a second.

    Beside it stands the ``instant`` of the newest event when the file was written, -1 where none is known.
    """

    def __init__(self, path: Path, now_ms: int, *, block: int = BLOCK) -> None:
        self._path = path
        self._block = block
        kept, self.instant = self._read()
        self._next = kept or max(1, now_ms)
        self._reserved = self._next
        self._complained = False

    def next(self) -> int:
        """Does not wait for the disk: look after ``low`` in time."""
        number = self._next
        self._next += 1
        return number

    @property
    def low(self) -> bool:
        """Whether it is time to ``reserve``."""
        return self._reserved - self._next < self._block // 2

    def reserve(self, instant: int = -1) -> None:
        self._reserved = self._next + self._block
        self._write(self._reserved, instant)

    def close(self, instant: int = -1) -> None:
        """Give back what was reserved and not used."""
        self._reserved = self._next
        self._write(self._next, instant)

    def _read(self) -> tuple[int, int]:
        try:
            number, instant, *_ = [*map(int, self._path.read_text().split()), -1]
        except (OSError, ValueError):
            return 0, -1
        return number, instant

    def _write(self, number: int, instant: int) -> None:
        if instant >= 0:
            self.instant = instant
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_text(f"{number} {self.instant}\n")
            os.replace(fresh, self._path)  # noqa: PTH105
        except OSError as error:
            if not self._complained:
                log.warning("cannot keep the sequence number", extra={"path": self._path, "reason": error.strerror})
                self._complained = True
