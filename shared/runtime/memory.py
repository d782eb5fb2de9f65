"""Memory that starting took and running does not need."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

LEAST = 1 << 20
"""Bytes in memory below which a mapping is not worth the call."""

_DONTNEED = 4  # madvise(2)
_HEAD = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+ +/")


def give_back() -> None:
    """To the kernel: what was freed, which glibc keeps unless it is asked, and pages of files that were read once, most
    of them code that ran at the start. Those stay in the kernel's cache, and what is used again is mapped again.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        for start, size in unchanged(Path("/proc/self/smaps").read_text()):
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), _DONTNEED)
        libc.malloc_trim(0)  # musl has none


def unchanged(smaps: str) -> Iterator[tuple[int, int]]:
    """Address and size in bytes of what is mapped from files, may not be written, and is as it is in the file: leaving
    it loses nothing.
    """
    head: re.Match[str] | None = None
    resident = 0
    for line in smaps.splitlines():
        if line[:1].islower() or line[:1].isdigit():
            head = _HEAD.match(line)
            resident = 0
        elif line.startswith("Rss:"):
            resident = int(line.split()[1]) * 1024
        elif line.startswith("Anonymous:") and head and resident >= LEAST:
            start, end, may = int(head[1], 16), int(head[2], 16), head[3]
            if "w" not in may and "p" in may and line.split()[1] == "0":
                yield start, end - start
