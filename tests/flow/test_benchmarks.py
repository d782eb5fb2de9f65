"""Every benchmark runs, in a tiny form: a figure that cannot be measured again is worth nothing. What it prints here
says nothing of speed.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import ALL

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
NAMES = sorted(
    ".".join(path.relative_to(FOLDER).with_suffix("").parts)
    for path in FOLDER.rglob("*.py")
    if path.stem not in ("__init__", "__main__")
)
TINY: dict[str, tuple[object, ...]] = {
    "alerter": (200, 20),
    "api": (6, 3, 600),
    "detection.cost": (100,),
    "detector": (2, 20),
    "findings": (60,),
    "ingest": ("parts", "path", "once", "day", "idle", 0.002),
    "product": (1, 0),
    "stream": (300,),
    "training": (200, 20),
}
"""Of what has a size: its arguments on the command line."""
APART = {"api", "ingest", "product", "stream"}
"""These have an engine, a log or a broker to themselves."""
TOO_LARGE = {"paging", "throughput"}
"""They need minutes, or an Apache Kafka: that they can be loaded, and ``make lint``, is all there is."""
OTHERWISE = {"agent", "detection.adapter", "fleet", "scenarios"}
"""Each has a test of its own below."""


def test_none_is_left_out() -> None:
    assert {*TINY, *TOO_LARGE, *OTHERWISE} == {*NAMES}
    runs_by_itself = {name for name in NAMES if hasattr(_loaded(name), "main")}
    assert runs_by_itself == {*ALL, "scenarios"}


@pytest.mark.parametrize("name", sorted(TINY.keys() - APART))
def test_a_benchmark_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    _loaded(name).main(*TINY[name])
    assert len(capsys.readouterr().out.splitlines()) >= 2


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(APART))
def test_a_benchmark_runs_by_itself(name: str) -> None:
    command = [sys.executable, "-m", f"benchmarks.{name}", *map(str, TINY[name])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) >= 4


def test_the_detector_is_told_with_findings_and_without(capsys: pytest.CaptureFixture[str]) -> None:
    _loaded("detector").main(2, 40)
    printed = capsys.readouterr().out
    for row in ("gate", "all of it but the findings ", "all of it ", "memory a host, all but the findings ", "state"):
        assert row in printed


def test_the_agent_is_measured(tmp_path: Path) -> None:
    agent = _loaded("agent")
    cost = agent.measured({agent.OURS: agent.lapwing(tmp_path)}, tmp_path, 0.2, 0.2)
    assert cost[agent.OURS].rss_mb > 1
    assert len(agent.table(cost)) == 1


def test_a_made_up_host_has_some_180_numbers() -> None:
    fleet = _loaded("fleet")
    sample = fleet.Host(1).sample(1_800_000_000_000)
    assert 150 < fleet.numbers_in(sample) < 500


@pytest.mark.parametrize("make", ["make", "make_paging"])
def test_the_rig_is_given_a_detector(make: str) -> None:
    from datetime import datetime

    detector = getattr(_loaded("detection.adapter"), make)()
    assert 0 <= detector.score_one(datetime(2026, 1, 1), {"cpu": 1.0}) < 1


RIG = """
from datetime import datetime, timedelta
KINDS = ("load_spike",)
METRICS = ("cpu_user", "cpu_system", "cpu_iowait", "load1", "mem_used_pct", "swap_used_pct", "disk_used_pct",
           "disk_util", "net_tx_kbs", "net_rx_kbs", "procs")

def make(kind, seed):
    n, begin, end = 120, 80, 100
    rows = [[90.0 if begin <= i < end else 5.0 + i % 3] * len(METRICS) for i in range(n)]
    times = [datetime(2026, 1, 1) + timedelta(minutes=i) for i in range(n)]
    meta = {"metrics": METRICS, "within_s": [600], "ignore": [0] * n, "warm_rows": 60}
    return times, rows, [begin <= i < end for i in range(n)], meta
"""


def test_scenarios_of_the_rig_are_tallied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scenarios.py").write_text(RIG)
    monkeypatch.setenv("DETECTION", str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "scenarios", raising=False)
    try:
        assert _loaded("scenarios").main(0, 1) == 0
    finally:
        sys.modules.pop("scenarios", None)
    assert "| load_spike | 1 |" in capsys.readouterr().out


def _loaded(name: str) -> Any:
    return importlib.import_module(f"benchmarks.{name}")
