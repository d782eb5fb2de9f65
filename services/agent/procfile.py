"""Kernel files read again and again: opened once, read from the start each time.

Opening costs more than reading; the descriptor is kept. Of the files that are lists the kernel hands out at most about
a page per call, so they are read until nothing comes; the others come as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

_CHUNK = 1 << 16
T = TypeVar("T")


class KeptFile:
    def __init__(self, path: str, *, whole: bool = False) -> None:
        """``whole``: the kernel hands it out in one piece (``single_open``), so that its end need not be asked for."""
        self._path = path
        self._whole = whole
        self._fd: int | None = None

    def read(self) -> bytes:
        """The whole file as it is now. Raises ``OSError``; the next call opens it anew."""
        if self._fd is None:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.pread(self._fd, _CHUNK, 0)
            if self._whole and len(data) < _CHUNK:
                return data
            while chunk := os.pread(self._fd, _CHUNK, len(data)):
                data += chunk
            return data
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class KnownLines(Generic[T]):
    """Takes a list's lines apart; one that is as it was the last time need not be, and most devices are idle."""

    def __init__(self, parse: Callable[[bytes], tuple[str, T] | None]) -> None:
        self._parse = parse
        self._known: dict[bytes, tuple[str, T] | None] = {}

    def parse(self, lines: Iterable[bytes]) -> dict[str, T]:
        """What ``parse`` makes of each line, name and value; without those it makes nothing of."""
        known = self._known
        self._known = {line: known[line] if line in known else self._parse(line) for line in lines}
        return dict(filter(None, self._known.values()))


def read_bytes(path: str) -> bytes:
    """A list of the kernel's, all of it; empty when it cannot be read."""
    file = KeptFile(path)
    try:
        return file.read()
    except OSError:
        return b""
    finally:
        file.close()


def read_text(path: str, most: int = 4096) -> str:
    """A small file's text, stripped; empty when it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, most).decode("utf-8", "replace").strip()
    except OSError:
        return ""
    finally:
        os.close(fd)
