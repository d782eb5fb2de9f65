"""The API server of these tests leaves nothing running, however the tests end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.kube_apiserver import api_server
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(1800)  # the first run builds Kubernetes

KILLED = """
import sys, time
from pathlib import Path
from tests.support.kube_apiserver import api_server
with api_server(Path(sys.argv[1]), Path(sys.argv[2])) as server:
    print(*server.pids, flush=True)
    time.sleep(600)
"""


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


async def test_it_is_gone_when_the_tests_are_killed(programs: Path, tmp_path: Path) -> None:
    tests = subprocess.Popen(
        [sys.executable, "-c", KILLED, programs, tmp_path / "server"],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert tests.stdout
        pids = [int(word) for word in tests.stdout.readline().split()]
        assert len(alive(pids)) == 2
    finally:
        tests.kill()
        tests.wait()
    await eventually(lambda: not alive(pids), within=10.0)


def test_it_is_gone_when_a_test_fails(programs: Path, tmp_path: Path) -> None:
    pids: list[int] = []
    with pytest.raises(ZeroDivisionError), api_server(programs, tmp_path / "server") as server:
        pids += server.pids
        assert len(alive(pids)) == 2
        raise ZeroDivisionError
    assert alive(pids) == []
