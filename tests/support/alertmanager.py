"""A real Alertmanager on loopback, out of Debian's package."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.debian import debian_or_skip
from tests.support.waiting import eventually

CONFIG = """
route: {receiver: nobody, group_wait: 1s}
receivers: [{name: nobody}]
"""


@dataclass(frozen=True)
class Alertmanager:
    url: str
    amtool: Path
    process: subprocess.Popen[bytes]
    log: Path

    def alerts(self) -> list[dict[str, Any]]:
        """What it holds to be firing."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=5) as answer:
            return list(json.load(answer))

    def ready(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"Alertmanager ended: {self.log.read_text()[-500:]}")
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def tool(self, *words: str) -> str:
        """What amtool says."""
        return subprocess.run(
            [str(self.amtool), f"--alertmanager.url={self.url}", *words],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout


@contextmanager
def alertmanager(directory: Path, port: int | None = None) -> Iterator[Alertmanager]:
    """Started, and ended at the end; ``await started(it)`` before it is used."""
    root = debian_or_skip("alertmanager-0.25", "prometheus-alertmanager")
    program = directory / "prometheus-alertmanager"
    # Debian's has the place of its templates built in, and wants them even when it mails nobody: below where it runs.
    installed, here = b"/usr/share/prometheus/alertmanager", b"usr/share/prometheus/alertmanager/"
    program.write_bytes((root / "usr/bin/prometheus-alertmanager").read_bytes().replace(installed, here))
    program.chmod(0o755)
    config = directory / "alertmanager.yml"
    config.write_text(CONFIG)
    port = port or _free_port()
    with (directory / "alertmanager.log").open("ab") as log:
        process = subprocess.Popen(
            [
                str(program),
                f"--config.file={config}",
                f"--storage.path={directory / 'alertmanager'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            cwd=root,
            stdout=log,
            stderr=log,
        )
    try:
        yield Alertmanager(f"http://127.0.0.1:{port}", root / "usr/bin/amtool", process, directory / "alertmanager.log")
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def started(it: Alertmanager) -> Alertmanager:
    await eventually(it.ready, that="Alertmanager is ready")
    return it


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
