"""The data directory: one running Lapwing at a time, and a clear word when it cannot be used."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO


class DataDirError(RuntimeError):
    """The directory cannot be used; the message says why and what to do."""


class DataDir:
    """``claim`` makes ``path`` (mode 0700) and locks it; the lock dies with the process, however that dies."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: IO[str] | None = None

    def claim(self) -> None:
        """Raises ``DataDirError``."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = (self.path / "lapwing.lock").open("a+")
        except OSError as error:
            raise DataDirError(
                f"cannot write to the data directory {self.path}: {error.strerror}; "
                "set LAPWING_DATA_DIR to a directory you own"
            ) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            owner = handle.read().strip() or "unknown"
            handle.close()
            raise DataDirError(
                f"the data directory {self.path} is in use by another Lapwing (process {owner}); "
                "stop it or set LAPWING_DATA_DIR to another directory"
            ) from None
        handle.truncate(0)
        handle.write(f"{os.getpid()}\n")
        handle.flush()
        self._lock = handle

    def release(self) -> None:
        if self._lock:
            self._lock.close()
            self._lock = None
