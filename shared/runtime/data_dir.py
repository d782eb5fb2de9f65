"""The data directory: one running Lapwing of a kind at a time, and a clear word when it cannot be used."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO


class DataDirError(RuntimeError):
    """The directory cannot be used; the message says why and what to do."""


class DataDir:
    """Where everything is kept. Locks die with the process, however that dies."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._locks: list[IO[str]] = []

    def claim(self, services: Iterable[str]) -> None:
        """Make the directory (mode 0700) and lock it for these services; other services may share it.

        Raises ``DataDirError``, holding nothing.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            (self.path / "run").mkdir(exist_ok=True, mode=0o700)
            for service in services:
                self._locks.append((self.path / "run" / f"{service}.lock").open("a+"))
                self._lock(self._locks[-1], service)
        except OSError as error:
            self.release()
            why = "it is a file" if self.path.exists() and not self.path.is_dir() else error.strerror
            raise DataDirError(
                f"cannot write to the data directory {self.path}: {why}; set LAPWING_DATA_DIR to a directory you own"
            ) from None
        except DataDirError:
            self.release()
            raise

    def _lock(self, handle: IO[str], service: str) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            owner = handle.read().strip() or "unknown"
            raise DataDirError(
                f"the data directory {self.path} is in use by another Lapwing ({service}, process {owner}); "
                "stop it or set LAPWING_DATA_DIR to another directory"
            ) from None
        handle.truncate(0)
        handle.write(f"{os.getpid()}\n")
        handle.flush()

    def release(self) -> None:
        """Let others have it. Safe to call twice."""
        while self._locks:
            with suppress(OSError):  # on a full disk, what could not be written fails once more; the lock is gone
                self._locks.pop().close()
