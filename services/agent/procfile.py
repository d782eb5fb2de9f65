"""Kernel files read again and again: opened once, read from the start each time.

Opening costs more than reading; the descriptor is kept. The kernel hands out at most about a page per call of the
files that are lists, hence the loop.
"""

from __future__ import annotations

import os

_CHUNK = 1 << 16


class KeptFile:
    def __init__(self, path: str) -> None:
        self._path = path
        self._fd: int | None = None

    def read(self) -> bytes:
        """The whole file as it is now. Raises ``OSError``; the next call opens it anew."""
        if self._fd is None:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.pread(self._fd, _CHUNK, 0)
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
