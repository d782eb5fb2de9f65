"""A file that is young while a service makes progress."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from services import commands
from shared.runtime.health import Health
from shared.runtime.pulse import STALE_AFTER, Pulse, age, file_of
from shared.runtime.settings import Settings


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path


async def test_it_beats_while_there_is_progress_and_only_then(data_dir: Path) -> None:
    health, trouble = Health(), [None, "a batch has been in the works for 901 s"]
    health.progress["ingest"] = lambda: trouble[-1]
    pulse = Pulse(health, data_dir, ["ingest"])
    await pulse.start()
    assert age(data_dir, "ingest") is None
    trouble.pop()
    pulse._beat()
    assert age(data_dir, "ingest") is not None
    trouble.append("stuck")
    os.utime(file_of(data_dir, "ingest"), (1, 1))
    pulse._beat()
    assert file_of(data_dir, "ingest").stat().st_mtime == 1


async def test_who_stopped_has_no_pulse(data_dir: Path) -> None:
    pulse = Pulse(Health(), data_dir, ["api", "agent"])
    await pulse.start()
    assert age(data_dir, "agent") is not None
    await pulse.stop()
    assert age(data_dir, "api") is None


def test_the_command_tells_who_is_well(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(data_dir=data_dir)
    file_of(data_dir, "agent").touch()
    old = time.time() - STALE_AFTER - 1
    file_of(data_dir, "api").touch()
    os.utime(file_of(data_dir, "api"), (old, old))

    def ask(*services: str) -> int:
        arguments = commands.parser().parse_args(["health", *services])
        return int(arguments.run(settings, arguments))

    assert ask("agent") == 0
    assert ask("api") == 1
    assert ask("ingest") == 1
    assert "ingest: does not run" in capsys.readouterr().out
    with pytest.raises(commands.UsageError, match="no service"):
        ask("nobody")
