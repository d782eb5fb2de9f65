"""What watching costs: CPU and memory of our agent, of Glances and of Netdata, each alone, on the same machine.

``python -m benchmarks.agent [seconds]``. Everybody samples once a second, processes included; ours sends to a broker
(which runs in this process and is not counted), Glances exports to a file, Netdata keeps to itself. Each is measured
with all its children, with about 100 processes on the machine and, where its price grows with them, with about 1000.

Glances is installed by pip into a directory that is thrown away. Netdata is used where it is installed
(``apt-get install netdata``), and left out otherwise.
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from shared.broker.embedded import EmbeddedBroker
from shared.schemas.topics import ALL_TOPICS

ROOT = Path(__file__).parents[1]
WARM_UP = 12.0
FEW, MANY = 100, 1000


class NotHere(Exception):
    """Why somebody is left out."""


@dataclass(frozen=True)
class Cost:
    cpu_percent: float
    rss_mb: float
    processes: int


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 40.0
    with TemporaryDirectory(prefix="lapwing-bench-") as directory:
        watchers: list[tuple[str, Callable[[Path], list[str]], Sequence[int]]] = [
            ("Lapwing agent", lapwing, (FEW, MANY)),
            ("Glances --export", glances, (FEW, MANY)),
            ("Netdata", netdata, (FEW,)),
        ]
        costs: dict[tuple[str, int], Cost] = {}
        for name, command, crowds in watchers:
            try:
                arguments = command(Path(directory))
            except NotHere as reason:
                print(f"{name} is left out: {reason}\n", flush=True)
                continue
            for crowd in crowds:
                with processes(crowd):
                    costs[name, crowd] = measured(name, arguments, directory, seconds)
        print(table(costs))


def table(costs: dict[tuple[str, int], Cost]) -> str:
    rows = ["| | processes | CPU, % of a core | RSS, MB | ours is |", "|---|---|---|---|---|"]
    for (name, crowd), cost in costs.items():
        ours = costs.get(("Lapwing agent", crowd))
        ratio = f"1/{cost.cpu_percent / ours.cpu_percent:.1f}" if ours and ours is not cost else ""
        rows.append(f"| {name} | {cost.processes} | {cost.cpu_percent:.2f} | {cost.rss_mb:.0f} | {ratio} |")
    return "\n".join(rows)


def lapwing(directory: Path) -> list[str]:
    return [sys.executable, "-m", "services", "agent"]


def glances(directory: Path) -> list[str]:
    home = directory / "glances"
    venv.create(home, with_pip=True)
    installed = subprocess.run(
        [home / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "glances"],
        capture_output=True,
        text=True,
    )
    if installed.returncode:
        raise NotHere(f"pip cannot install it: {installed.stderr.strip().splitlines()[-1:]}")
    options = ["--quiet", "--time", "1", "--export", "csv", "--export-csv-file", str(directory / "glances.csv")]
    return [str(home / "bin" / "glances"), *options]


def netdata(directory: Path) -> list[str]:
    binary = shutil.which("netdata", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if binary is None:
        raise NotHere("it is not installed (apt-get install netdata)")
    for name in ("lib", "cache", "log"):
        (directory / "netdata" / name).mkdir(parents=True)
    settings = [
        part
        for name in ("lib", "cache", "log")
        for part in ("-W", "set", "directories", name, str(directory / "netdata" / name))
    ]
    return [binary, "-D", "-u", getpass.getuser(), "-i", "127.0.0.1", "-P", str(directory / "netdata.pid"), *settings]


@contextmanager
def processes(wanted: int) -> Iterator[None]:
    """So many on the machine, sleeping."""
    sleepers = [
        subprocess.Popen(["sleep", "100000"], stdin=subprocess.DEVNULL)
        for _ in range(max(0, wanted - len(psutil.pids())))
    ]
    try:
        yield
    finally:
        for sleeper in sleepers:
            sleeper.kill()
        for sleeper in sleepers:
            sleeper.wait()


def measured(name: str, arguments: list[str], directory: str, seconds: float) -> Cost:
    broker = EmbeddedBroker(ALL_TOPICS, partitions=1)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LAPWING_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    environment = kept | {
        "LAPWING_KAFKA__BOOTSTRAP_SERVERS": broker.address,
        "LAPWING_DATA_DIR": str(Path(directory) / "data"),
        "LAPWING_AGENT__INTERVAL": "1",
        "LAPWING_AGENT__PROCESSES_INTERVAL": "1",
        "LAPWING_AGENT__TOP_PROCESSES": "20",
        "PYTHONPYCACHEPREFIX": str(Path(directory) / "pycache"),
    }
    with (Path(directory) / f"{name.split()[0]}.log").open("ab") as log:
        process = subprocess.Popen(
            arguments, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        time.sleep(WARM_UP)
        if process.poll() is not None:
            raise SystemExit(f"{name} ended by itself: see {log.name}:\n{Path(log.name).read_text()[-2000:]}")
        print(f"measuring {name} with {len(psutil.pids())} processes", flush=True)
        began, before = time.monotonic(), cpu_seconds(process.pid)
        time.sleep(seconds)
        used = cpu_seconds(process.pid) - before
        percent = 100 * used / (time.monotonic() - began)
        rss = sum(p.memory_info().rss for p in family(process.pid))
        return Cost(percent, rss / 1e6, len(psutil.pids()))
    finally:
        children = family(process.pid)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in children:
            if child.is_running() and child.pid != process.pid:
                child.kill()
        broker.close()


def family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    """Of the process, its living children, and those it has outlived."""
    total = 0.0
    for process in family(pid):
        times = process.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


if __name__ == "__main__":
    main()
