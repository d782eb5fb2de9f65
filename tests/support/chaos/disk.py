"""A disk of the product's own that can be filled to the last byte: a small tmpfs, where we may mount one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class CannotMount(Exception):
    """Says why."""


class Disk:
    def __init__(self, root: Path) -> None:
        self._filler = root / "filler"

    def fill(self) -> None:
        """Nothing can be written afterwards, as long as nobody deletes anything."""
        with self._filler.open("wb", buffering=0) as filler:
            chunk = bytes(1 << 20)
            while len(chunk) >= 1024:
                try:
                    filler.write(chunk)
                except OSError:
                    chunk = chunk[: len(chunk) // 2]

    def free(self) -> None:
        self._filler.unlink(missing_ok=True)


@contextmanager
def small_disk(root: Path, size: str = "2g") -> Iterator[Disk]:
    """``root`` is such a disk meanwhile, and a directory with all it held afterwards. Raises ``CannotMount``."""
    if os.geteuid() != 0:
        raise CannotMount("only root may mount a tmpfs")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "lapwing", str(root)], capture_output=True, text=True
    )
    if mounted.returncode:
        raise CannotMount(mounted.stderr.strip())
    disk = Disk(root)
    try:
        yield disk
    finally:
        disk.free()
        left = root.with_name(f"{root.name}-left")
        subprocess.run(["cp", "-a", "--sparse=always", str(root), str(left)], check=True)
        # Lazily: a process that ends slowly must not keep the test from ending.
        subprocess.run(["umount", "-l", str(root)], check=True)
        root.rmdir()
        left.rename(root)
