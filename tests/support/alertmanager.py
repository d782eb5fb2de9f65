"""Debian's Alertmanager and its amtool: fetched once by apt, unpacked beside other downloads, never installed.

with running_alertmanager(tmp_path) as url: ...
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.broker.jars import cache_dir

PACKAGE = "prometheus-alertmanager"
AMTOOL = "amtool"
ALERTMANAGER = "prometheus-alertmanager"
FETCH_WITHIN = 120  # seconds
STARTS_WITHIN = 20
_PLAIN = """
route: {receiver: nobody}
receivers: [{name: nobody}]
"""


class NotAtHand(Exception):
    """Says what is missing, in one line."""


def alertmanager_programs(cache: Path | None = None) -> Path:
    """The directory with ``amtool`` and ``prometheus-alertmanager``. Blocks: the first time for some seconds, and that
    needs apt and the network. Raises ``NotAtHand``.
    """
    cache = cache or cache_dir()
    place = cache / "alertmanager-debian"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "alertmanager-debian.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # who comes second waits, and finds them there
        if not place.is_dir():
            _fetch(place)
    return place / "usr" / "bin"


def _fetch(place: Path) -> None:
    if missing := [program for program in ("apt-get", "dpkg-deb") if shutil.which(program) is None]:
        raise NotAtHand(f"Alertmanager comes from Debian's packages, and there is no {missing[0]}")
    scratch = place.with_suffix(".part")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        _run(["apt-get", "download", PACKAGE], scratch)
        (package,) = scratch.glob("*.deb")
        _run(["dpkg-deb", "-x", package.name, "unpacked"], scratch)
        _find_templates_here(scratch / "unpacked" / "usr" / "bin" / ALERTMANAGER)
        (scratch / "unpacked").replace(place)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _find_templates_here(program: Path) -> None:
    """Debian's Alertmanager reads its templates where the package would be installed: now from its working directory,
    by a path of the same length.
    """
    program.write_bytes(program.read_bytes().replace(b"/usr/share/prometheus/", b".////share/prometheus/"))


def _run(command: list[str], directory: Path) -> None:
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=FETCH_WITHIN)
    except subprocess.TimeoutExpired:
        raise NotAtHand(f"`{' '.join(command)}` took longer than {FETCH_WITHIN} s") from None
    if done.returncode:
        raise NotAtHand(f"`{' '.join(command)}` failed: {' '.join(done.stderr.split())[:300]}")


@pytest.fixture(scope="session")
def alertmanager_at_hand() -> Path:
    """The programs' directory; where they cannot be had, skip at a desk and fail in CI."""
    try:
        return alertmanager_programs()
    except (NotAtHand, OSError) as error:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            raise
        pytest.skip(f"no Alertmanager: {error}")


@contextmanager
def running_alertmanager(programs: Path, directory: Path, config: str = _PLAIN) -> Iterator[str]:
    """An Alertmanager of its own on loopback, alone; its URL, once it is ready."""
    file = directory / "alertmanager.yml"
    file.write_text(config)
    port = _free_port()
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
            with urllib.request.urlopen(f"{url}/-/ready", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise AssertionError(f"Alertmanager is not ready; it said:\n{log.read_text()[-2000:]}")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
