"""Sections load and pressure."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.agent.collectors.load import parse_loadavg
from services.agent.collectors.pressure import PressureCollector, parse_pressure


def test_three_averages() -> None:
    assert parse_loadavg(b"0.20 10.18 0.12 1/80 11206\n") == {"load1": 0.2, "load5": 10.18, "load15": 0.12}


@pytest.mark.parametrize("content", [b"", b"1.0 2.0", b"a b c d"])
def test_what_is_no_loadavg_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        parse_loadavg(content)


def test_pressure_of_a_resource() -> None:
    some = b"some avg10=1.26 avg60=6.24 avg300=0.06 total=4979302\n"
    full = b"full avg10=0.00 avg60=0.50 avg300=0.00 total=0\n"
    assert parse_pressure("io", some + full) == {
        "io_some_avg10": 1.26,
        "io_some_avg60": 6.24,
        "io_full_avg10": 0.0,
        "io_full_avg60": 0.5,
    }
    assert set(parse_pressure("cpu", some + full)) == {"cpu_some_avg10", "cpu_some_avg60"}
    assert set(parse_pressure("cpu", some)) == {"cpu_some_avg10", "cpu_some_avg60"}  # kernels before 5.13


def test_a_kernel_without_pressure_has_nothing_to_report_and_that_is_no_failure(tmp_path: Path) -> None:
    collector = PressureCollector(str(tmp_path))
    assert collector.collect(1.0) is None
    assert collector.collect(2.0) is None


def test_a_kernel_with_some_of_it(tmp_path: Path) -> None:
    (tmp_path / "pressure").mkdir()
    (tmp_path / "pressure" / "io").write_text("some avg10=0.50 avg60=0.10 avg300=0.00 total=1\n")
    assert PressureCollector(str(tmp_path)).collect(1.0) == {"io_some_avg10": 0.5, "io_some_avg60": 0.1}
