"""Files that are there whole or not at all, whenever the process is killed or the power fails."""

from __future__ import annotations

import os
from pathlib import Path


def write(file: Path, data: bytes) -> None:
    """A new file, on the disk when this returns. Raises ``OSError``."""
    with file.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def replace(file: Path, data: bytes) -> None:
    """``file`` holds ``data`` and is on the disk; until then it is what it was. One writer at a time. Raises
    ``OSError``.
    """
    # Always the same name: what a killed process left there is written over.
    beside = file.with_name(f".{file.name}.new")
    write(beside, data)
    beside.replace(file)
    sync(file.parent)


def sync(directory: Path) -> None:
    """The names in it are on the disk. Raises ``OSError``."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
