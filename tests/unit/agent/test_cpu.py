"""Section cpu: counters of the kernel into shares."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.agent.collectors.cpu import CpuCollector, parse_stat, shares

MODERN = b"""cpu  8984 10 1963 355720 1030 5 110 518 7 2
cpu0 740 5 580 182448 34 2 51 283 3 1
cpu1 8244 5 1382 173271 995 3 58 234 4 1
intr 993412 0 9 0 0 0 0 0 0 1 0 0
ctxt 1784563
btime 1795231895
processes 17384
"""


def test_every_mode_of_every_core_is_read() -> None:
    reading = parse_stat(MODERN)
    assert reading.total == (8984, 10, 1963, 355720, 1030, 5, 110, 518, 7, 2)
    assert list(reading.cores) == ["cpu0", "cpu1"]
    assert reading.cores["cpu1"][0] == 8244
    assert (reading.interrupts, reading.context_switches) == (993412, 1784563)


@pytest.mark.parametrize(
    ("stat", "total", "cores"),
    [
        (b"cpu  1 2 3 4\ncpu0 1 2 3 4\nctxt 5\n", (1, 2, 3, 4, 0, 0, 0, 0, 0, 0), 1),  # 2.4: four modes, no intr line
        (b"cpu  1 2 3 4 5 6 7\nintr 9 1 1\nctxt 5\n", (1, 2, 3, 4, 5, 6, 7, 0, 0, 0), 1),  # no line per core
        (b"cpu  1 2 3 4 5 6 7 8 9 10 11 12\nintr 9\n", (1, 2, 3, 4, 5, 6, 7, 8, 9, 10), 1),  # modes yet to come
    ],
)
def test_odd_kernels(stat: bytes, total: tuple[int, ...], cores: int) -> None:
    reading = parse_stat(stat)
    assert reading.total == total
    assert len(reading.cores) == cores


@pytest.mark.parametrize("stat", [b"", b"intr 1\nctxt 2\n", b"cpu0 1 2 3 4\n"])
def test_without_a_total_there_is_no_reading(stat: bytes) -> None:
    with pytest.raises(ValueError, match="no line `cpu`"):
        parse_stat(stat)


def test_busy_is_what_is_neither_idle_nor_waiting_and_guests_count_once() -> None:
    before = (0,) * 10
    after = (30, 10, 10, 40, 10, 0, 0, 0, 20, 10)  # guests are in user and nice already
    busy, modes = shares(before, after)
    assert busy == 50.0
    assert modes == [30.0, 10.0, 10.0, 40.0, 10.0, 0.0, 0.0, 0.0, 20.0, 10.0]


def test_a_counter_that_goes_back_and_a_moment_without_ticks_give_no_nonsense() -> None:
    assert shares((5, 0, 0, 5, 9, 0, 0, 0, 0, 0), (10, 0, 0, 10, 3, 0, 0, 0, 0, 0))[0] == 50.0
    assert shares((5,) * 10, (5,) * 10) == (0.0, [0.0] * 10)


def test_the_collector_compares_with_its_previous_reading(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_bytes(MODERN)
    collector = CpuCollector(str(tmp_path))
    first = collector.collect(10.0)
    assert first["percent"] == 0.0
    assert first["context_switches_per_s"] == 0
    stat.write_bytes(MODERN.replace(b"cpu  8984", b"cpu  9084").replace(b"cpu1 8244", b"cpu1 8344"))
    second = collector.collect(12.0)
    assert second["percent"] == 100.0
    assert second["per_core"] == [0.0, 100.0]


def test_a_core_that_comes_while_we_run_starts_at_nothing(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_bytes(b"cpu  10 0 0 10\ncpu0 10 0 0 10\nintr 1\nctxt 1\n")
    collector = CpuCollector(str(tmp_path))
    collector.collect(1.0)
    stat.write_bytes(b"cpu  20 0 0 20\ncpu0 20 0 0 10\ncpu1 900 0 0 10\nintr 1\nctxt 1\n")
    section = collector.collect(2.0)
    assert section["count"] == 2
    assert section["per_core"] == [100.0, 0.0]
