"""What is given back to the kernel is as it was when it is used again."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

import pytest

from shared.runtime.memory import LEAST, give_back, unchanged

SIZE = 4 * LEAST

SMAPS = """\
7f0000000000-7f0000400000 r-xp 00000000 fe:00 58 /usr/lib/engine.so (1)
Rss:                3000 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me sd
7f0000400000-7f0000800000 r--p 00400000 fe:00 58 /usr/lib/engine.so
Rss:                4096 kB
Anonymous:          4096 kB
7f0000800000-7f0000c00000 rw-p 00800000 fe:00 58 /usr/lib/engine.so
Rss:                4096 kB
Anonymous:             0 kB
7f0000c00000-7f0001000000 r--p 00000000 00:00 0
Rss:                4096 kB
Anonymous:             0 kB
7f0001000000-7f0001400000 r--s 00000000 fe:00 59 /var/lib/shared
Rss:                4096 kB
Anonymous:             0 kB
7f0001400000-7f0001800000 r-xp 00000000 fe:00 60 /usr/lib/small.so
Rss:                 100 kB
Anonymous:             0 kB
7fff00000000-7fff00200000 r-xp 00000000 00:00 0                          [vdso]
Rss:                2048 kB
Anonymous:             0 kB
"""


def test_only_what_is_as_it_is_in_its_file_and_large_is_left() -> None:
    assert list(unchanged(SMAPS)) == [(0x7F0000000000, 0x400000)]


def test_of_nothing_nothing_is_left() -> None:
    assert list(unchanged("")) == []


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
def test_pages_of_a_file_go_and_are_there_again_when_they_are_read(tmp_path: Path) -> None:
    file = tmp_path / "code"
    file.write_bytes(bytes(range(256)) * (SIZE // 256))
    with file.open("rb") as opened:
        kept = mmap.mmap(opened.fileno(), SIZE, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    assert kept[:] == file.read_bytes()
    assert _resident(file) == SIZE
    give_back()
    assert _resident(file) == 0
    assert kept[:] == file.read_bytes()


def _resident(file: Path) -> int:
    lines = Path("/proc/self/smaps").read_text().splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.endswith(str(file))]
    return next(int(line.split()[1]) * 1024 for line in lines[at:] if line.startswith("Rss:"))
