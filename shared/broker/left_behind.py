"""A child of an earlier life that still runs: found by what it says of itself, so that no stranger is taken for it."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

import psutil

log = logging.getLogger(__name__)


def left_behind(pid_file: Path, mark: str) -> psutil.Process | None:
    """The process ``pid_file`` names, if ``mark`` is one of its arguments; its number alone may be another's by now."""
    try:
        process = psutil.Process(int(pid_file.read_text()))
        return process if mark in process.cmdline() else None
    except (OSError, ValueError, psutil.Error):
        return None


def end_left_behind(pid_file: Path, mark: str, *, within: float = 5.0) -> None:
    """It is gone afterwards, if need be by force after ``within`` seconds. Blocks."""
    process = left_behind(pid_file, mark)
    if process is None:
        return
    log.warning("ending a process that was left behind", extra={"pid": process.pid})
    with suppress(psutil.Error):
        process.terminate()
        try:
            process.wait(within)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(within)
