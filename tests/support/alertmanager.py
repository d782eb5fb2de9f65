"""Debian's Alertmanager and its amtool: fetched once by apt, unpacked beside other downloads, never installed.

with running_alertmanager(tmp_path) as url: ...
"""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.debian import at_hand, unpacked
from tests.support.ports import free_port

PACKAGE = "prometheus-alertmanager"
AMTOOL = "amtool"
ALERTMANAGER = "prometheus-alertmanager"
STARTS_WITHIN = 60  # seconds
_PLAIN = """
route: {receiver: nobody}
receivers: [{name: nobody}]
"""


def alertmanager_programs(cache: Path | None = None) -> Path:
    """The directory with ``amtool`` and ``prometheus-alertmanager``. Blocks: the first time for some seconds, and that
    needs apt and the network. Raises ``NotAtHand``.
    """
    return unpacked("alertmanager", PACKAGE, cache=cache, then=_find_templates_here) / "usr" / "bin"


def _find_templates_here(root: Path) -> None:
    """Debian's Alertmanager reads its templates where the package would be installed: now from its working directory,
    by a path of the same length.
    """
    program = root / "usr" / "bin" / ALERTMANAGER
    program.write_bytes(program.read_bytes().replace(b"/usr/share/prometheus/", b".////share/prometheus/"))


@pytest.fixture(scope="session")
def alertmanager_at_hand() -> Path:
    """The programs' directory; where they cannot be had, skip at a desk and fail in CI."""
    return at_hand(alertmanager_programs)


@contextmanager
def running_alertmanager(
    programs: Path, directory: Path, config: str = _PLAIN, *, port: int | None = None
) -> Iterator[str]:
    """An Alertmanager of its own on loopback, alone; its URL, once it is ready. ``port``: of one that was there."""
    file = directory / "alertmanager.yml"
    file.write_text(config)
    port = port or free_port()
    command = [
        str(programs / ALERTMANAGER),
        f"--config.file={file}",
        f"--storage.path={directory / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with (directory / "alertmanager.log").open("w") as log:
        process = subprocess.Popen(command, cwd=programs.parent, stdout=log, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        _until_ready(url, process, directory / "alertmanager.log")
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + STARTS_WITHIN
    while process.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=10):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise AssertionError(f"Alertmanager is not ready; it said:\n{log.read_text()[-2000:]}")
