"""The whole product as it comes, nobody to tell and nothing set: what it carries along stays for good."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, signal, sys
from services import commands
from services.__main__ import main

def ready():
    print("loaded:", *sys.modules)
    os.kill(os.getpid(), signal.SIGINT)

commands.tell_ready = ready
sys.exit(main(["up", "--port", "0"]))
"""
NOT_IN_USE = {
    # beside libraries that we use
    *("pandas", "pyarrow", "scipy", "sklearn", "narwhals", "river.datasets", "rich", "pygments", "charset_normalizer"),
    # for whoever is told of alerts
    *("apprise", "PIL", "jinja2", "httpx", "requests", "aiosmtplib"),
    # of other commands, and of larger installations
    *("services.replay.run", "shared.broker.local", "shared.store.front.service", "confluent_kafka.admin"),
}


def test_it_loads_nothing_that_is_not_in_use(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"LAPWING_DATA_DIR": str(tmp_path), "PATH": "", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=280,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("loaded:")] or [done.stdout + done.stderr]
    loaded = set(line.split())
    assert {"chdb", "faust", "fastapi", "services.alerter.service", "numpy"} <= loaded, line
    assert NOT_IN_USE & loaded == set()
