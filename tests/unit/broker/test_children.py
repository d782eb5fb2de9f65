"""A child on a leash, and one that was left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from shared.broker import leash
from shared.broker.left_behind import end_left_behind, left_behind
from tests.support.waiting import eventually

FOREVER = [sys.executable, "-c", "import signal; signal.pause()"]

# Starts a child on a leash, says its number and waits for its own end.
HOLDER = f"""
import os, signal, subprocess, sys
child = subprocess.Popen([sys.executable, {leash.__file__!r}, str(os.getpid()), *sys.argv[1:]], start_new_session=True)
print(child.pid, flush=True)
signal.pause()
"""


async def test_a_child_on_a_leash_dies_with_its_parent() -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, *FOREVER], stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    child = psutil.Process(int(holder.stdout.readline()))
    try:
        await eventually(lambda: child.cmdline() == FOREVER)  # the leash has become the command
        holder.kill()
        holder.wait(60)
        await eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    finally:
        if child.is_running():
            child.kill()


def test_a_leash_whose_parent_is_gone_already_runs_nothing(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    command = [sys.executable, leash.__file__, "1234567", "/bin/sh", "-c", f"touch {trace}"]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode != 0
    assert not trace.exists()


def test_a_leashed_command_keeps_its_arguments_and_its_status() -> None:
    command = [sys.executable, leash.__file__, str(os.getpid()), "/bin/sh", "-c", 'echo "$1"; exit 7', "sh", "a b"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (answer.stdout, answer.returncode) == ("a b\n", 7)


@pytest.fixture
def stubborn() -> Iterator[subprocess.Popen[str]]:
    """Deaf to SIGTERM, with the mark among its arguments."""
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    process = subprocess.Popen([sys.executable, "-c", code, "-Dmark=/here"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    process.stdout.readline()
    yield process
    process.kill()
    process.wait(60)


def test_one_left_behind_is_known_by_its_mark_and_ended(tmp_path: Path, stubborn: subprocess.Popen[str]) -> None:
    pid_file = tmp_path / "pid"
    pid_file.write_text(f"{stubborn.pid}\n")
    assert left_behind(pid_file, "-Dmark=/here")
    end_left_behind(pid_file, "-Dmark=/here", within=0.2)
    assert not psutil.pid_exists(stubborn.pid)


def test_a_stranger_with_its_number_is_left_alone(tmp_path: Path, stubborn: subprocess.Popen[str]) -> None:
    pid_file = tmp_path / "pid"
    pid_file.write_text(f"{stubborn.pid}\n")
    assert left_behind(pid_file, "-Dmark=/her") is None
    end_left_behind(pid_file, "-Dmark=/elsewhere")
    assert stubborn.poll() is None


@pytest.mark.parametrize("text", [None, "", "x", "-1", "4194304999"])
def test_a_number_that_means_nothing_is_nobody(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "pid").write_text(text)
    assert left_behind(tmp_path / "pid", "-Dmark=/here") is None
    end_left_behind(tmp_path / "pid", "-Dmark=/here")
