"""One Lapwing of a kind a directory; the lock dies with the process, however that dies."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.runtime.data_dir import DataDir, DataDirError


@contextmanager
def held_elsewhere(path: Path, *services: str) -> Iterator[subprocess.Popen[str]]:
    program = """
        import sys
        from pathlib import Path
        from shared.runtime.data_dir import DataDir
        held = DataDir(Path(sys.argv[1]))
        held.claim(sys.argv[2:])
        print("held", flush=True)
        sys.stdin.read()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(path), *services],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_it_is_made_for_its_owner_only(tmp_path: Path) -> None:
    directory = DataDir(tmp_path / "a" / "data")
    directory.claim(["api"])
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
    assert (directory.path / "run" / "api.lock").read_text() == f"{os.getpid()}\n"
    directory.release()
    directory.release()


def test_another_process_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path, "ingest", "api") as other:
        with pytest.raises(DataDirError, match=rf"in use by another Lapwing \(api, process {other.pid}\)") as refused:
            DataDir(tmp_path).claim(["agent", "api"])
        assert "LAPWING_DATA_DIR" in str(refused.value)


def test_a_refused_claim_holds_nothing(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path, "api"):
        with pytest.raises(DataDirError):
            DataDir(tmp_path).claim(["agent", "api"])
        with held_elsewhere(tmp_path, "agent"):
            pass


def test_different_services_may_share_it(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path, "api"):
        mine = DataDir(tmp_path)
        mine.claim(["ingest"])
        mine.release()


def test_the_lock_is_gone_after_kill_9(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path, "api") as other:
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        mine = DataDir(tmp_path)
        mine.claim(["api"])
        assert (tmp_path / "run" / "api.lock").read_text() == f"{os.getpid()}\n"
        mine.release()


def test_released_it_can_be_claimed_again(tmp_path: Path) -> None:
    first, second = DataDir(tmp_path), DataDir(tmp_path)
    first.claim(["api"])
    with pytest.raises(DataDirError):
        second.claim(["api"])
    first.release()
    second.claim(["api"])
    second.release()


@pytest.mark.parametrize("inside", ["", "below/it"])
def test_a_file_in_the_way_is_named(tmp_path: Path, inside: str) -> None:
    (tmp_path / "data").write_text("mine")
    path = tmp_path / "data" / inside
    with pytest.raises(DataDirError, match=f"cannot write to the data directory {path}: ") as refused:
        DataDir(path).claim(["api"])
    assert ("it is a file" if not inside else "Not a directory") in str(refused.value)
    assert (tmp_path / "data").read_text() == "mine"


def test_a_lock_that_cannot_be_written_is_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(DataDirError, match="set LAPWING_DATA_DIR to a directory you own"):
        DataDir(tmp_path).claim(["api"])


def test_a_disk_that_takes_nothing_is_said_in_one_line(tmp_path: Path) -> None:
    program = """
        import resource, sys
        from pathlib import Path
        from shared.runtime.data_dir import DataDir, DataDirError
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        try:
            DataDir(Path(sys.argv[1])).claim(["api"])
        except DataDirError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith(f"cannot write to the data directory {tmp_path}: "), done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DataDirError, match="Permission denied"):
        DataDir(tmp_path / "data").claim(["api"])
