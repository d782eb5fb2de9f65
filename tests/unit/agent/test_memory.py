"""Sections memory and swap."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.agent.collectors.memory import memory, parse_meminfo
from services.agent.collectors.swap import NONE_FOR, SwapCollector, parse_vmstat

MEMINFO = b"""MemTotal:       16000 kB
MemFree:         4000 kB
MemAvailable:    9000 kB
Buffers:          500 kB
Cached:          4000 kB
Shmem:            300 kB
Slab:             700 kB
SReclaimable:     400 kB
SwapTotal:       2000 kB
SwapFree:        1500 kB
HugePages_Total:     0
"""


def test_memory_as_psutil_computes_it() -> None:
    assert memory(parse_meminfo(MEMINFO)) == {
        "total": 16000 * 1024,
        "available": 9000 * 1024,
        "used": 7000 * 1024,
        "free": 4000 * 1024,
        "percent": 43.8,
        "buffers": 500 * 1024,
        "cached": 4400 * 1024,
        "shared": 300 * 1024,
        "slab": 700 * 1024,
    }


def test_a_kernel_that_does_not_estimate_what_is_available() -> None:
    old = b"\n".join(line for line in MEMINFO.split(b"\n") if b"Available" not in line)
    assert memory(parse_meminfo(old))["available"] == (4000 + 4400 + 500) * 1024


def test_a_container_that_says_more_is_available_than_there_is() -> None:
    assert memory(parse_meminfo(MEMINFO.replace(b"9000", b"99000")))["available"] == 4000 * 1024


def test_lines_that_are_no_sizes_are_passed_over_and_a_missing_total_is_said() -> None:
    assert parse_meminfo(b"        total:    used:\nMem:  x y\nMemTotal: 1 kB\n\n") == {b"MemTotal": 1024}
    with pytest.raises(KeyError):
        memory({})


@pytest.mark.parametrize(
    ("vmstat", "pages"),
    [
        (b"nr_free_pages 1\npswpin 12\npswpout 34\n", (12, 34)),
        (b"pswpin 12\npswpout 34", (12, 34)),
        (b"zswpin 5\nnr_x 1\n", (0, 0)),  # a kernel without swap
        (b"", (0, 0)),
    ],
)
def test_swapped_pages(vmstat: bytes, pages: tuple[int, int]) -> None:
    assert parse_vmstat(vmstat) == pages


def test_swap_rates_and_a_machine_without_swap(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_bytes(MEMINFO)
    (tmp_path / "vmstat").write_bytes(b"pswpin 0\npswpout 100\n")
    collector = SwapCollector(str(tmp_path))
    assert collector.collect(1.0)["out_bytes_per_s"] == 0.0
    (tmp_path / "vmstat").write_bytes(b"pswpin 0\npswpout 110\n")
    section = collector.collect(3.0)
    assert section["out_bytes_per_s"] == 5 * 4096
    assert (section["used"], section["percent"]) == (500 * 1024, 25.0)

    (tmp_path / "meminfo").write_bytes(b"MemTotal: 1 kB\nMemFree: 1 kB\n")
    (tmp_path / "vmstat").unlink()
    assert SwapCollector(str(tmp_path)).collect(1.0)["percent"] == 0.0


def test_swap_that_is_added_later_is_found_a_little_later(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_bytes(b"SwapTotal: 0 kB\nSwapFree: 0 kB\n")
    (tmp_path / "vmstat").write_bytes(b"pswpin 0\npswpout 0\n")
    collector = SwapCollector(str(tmp_path))
    assert collector.collect(1.0)["total"] == 0
    (tmp_path / "meminfo").write_bytes(MEMINFO)
    assert collector.collect(1.0 + NONE_FOR)["total"] == 2000 * 1024
