"""The product as separate processes on a real Apache Kafka, while its parts are killed, stopped and restarted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.chaos.deeds import DECK, deeds
from tests.support.chaos.run import chaos
from tests.support.chaos.victims import Victims
from tests.support.ports import free_port
from tests.support.product import PATIENCE
from tests.support.waiting import eventually

pytestmark = [pytest.mark.usefixtures("kafka_at_hand"), pytest.mark.timeout(420)]


async def test_whatever_is_killed_nothing_is_lost_and_nothing_counts_twice(tmp_path: Path) -> None:
    report = await chaos(11, 50, tmp_path, hosts=8, every=0.2, pause=(3.0, 6.0))
    assert report.accepted > 500, report
    assert (report.lost, report.doubled, report.topic_not_stored) == (0, 0, {}), report
    assert report.rollups_different == [], report
    assert not report.recovery.waiting, report
    assert report.exit_status == 0, report


def test_a_seed_decides_everything_and_every_kind_has_its_turn() -> None:
    assert list(deeds(7, 600)) == list(deeds(7, 600)) != list(deeds(8, 600))
    done = {(deed.kind, deed.target) for deed in deeds(7, 600)}
    assert done == {(kind, target) for kind, target, _ in DECK}


async def test_the_supervisor_leaves_no_process_behind_however_it_ends(tmp_path: Path) -> None:
    victims = Victims(
        tmp_path / "data", tmp_path / "log", LAPWING_API__PORT=str(free_port()), LAPWING_STORE__PORT=str(free_port())
    )
    for end in (signal.SIGINT, signal.SIGKILL):
        victims.start()
        try:
            await eventually(lambda: _is_up(victims), 120, 0.2)
            everybody = victims.everybody()
            assert len(everybody) == 8, "seven services, and Kafka under its own"
            victims.send(end)
            status = victims.wait()
        finally:
            victims.stop()
        assert status == (0 if end == signal.SIGINT else -signal.SIGKILL)
        await eventually(lambda every=everybody: not any(map(_lives, every)), that="nobody is left")
        (tmp_path / "log").unlink()


def test_bad_settings_end_it_with_one_line_instead_of_trying_again(tmp_path: Path) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LAPWING_")}
    (tmp_path / "file").write_text("")
    answer = subprocess.run(
        [sys.executable, "-m", "services", "up", "--processes"],
        env={**kept, "LAPWING_DATA_DIR": str(tmp_path / "file")},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert answer.returncode == 2
    assert answer.stderr.startswith("lapwing: cannot write to the data directory") and "it is a file" in answer.stderr


def _is_up(victims: Victims) -> bool:
    said = victims.said()
    assert "Ctrl-C stops it." in said, said[-400:]
    return True


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
