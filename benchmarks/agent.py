"""What watching costs: CPU and memory of our agent, of Glances and of Netdata on the same machine.

``python -m benchmarks.agent [seconds]``. Everybody samples once a second, processes included; ours sends to a broker
(which runs in this process and is not counted), Glances exports to a file, Netdata keeps to itself. They run at the
same time, so that whatever else the machine does happens to all of them alike, and each is measured with all its
children, with about 100 processes on the machine and with about 1000, from when all of them are up. Before that
everybody runs once for a moment: who compiles its own source as it starts is larger for it ever after, and an
installation has done that.

Glances is installed by pip into a directory that is thrown away. Netdata is used where it is installed
(``apt-get install netdata``), and left out otherwise.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from shared.broker.embedded import EmbeddedBroker
from shared.schemas.topics import ALL_TOPICS

ROOT = Path(__file__).parents[1]
UP_WITHIN = 180.0
FEW, MANY = 100, 1000
OURS, GLANCES, NETDATA = "Lapwing agent", "Glances --export", "Netdata"
EXPORT = "glances.csv"


class NotHere(Exception):
    """Why somebody is left out."""


@dataclass(frozen=True)
class Cost:
    cpu_percent: float
    rss_mb: float
    processes: int


def main(seconds: float = 60.0) -> None:
    with TemporaryDirectory(prefix="lapwing-bench-") as directory:
        commands: dict[str, list[str]] = {}
        for name, command in ((OURS, lapwing), (GLANCES, glances), (NETDATA, netdata)):
            try:
                commands[name] = command(Path(directory))
            except NotHere as reason:
                print(f"{name} is left out: {reason}\n", flush=True)
        measured(commands, Path(directory), 1.0)
        rows = ["| | processes | CPU, % of a core | RSS, MB | ours is |", "|---|---|---|---|---|"]
        for crowd in (FEW, MANY):
            with processes(crowd - 10 * len(commands)):
                rows += table(measured(commands, Path(directory), seconds))
        print("\n".join(rows))


def table(costs: dict[str, Cost]) -> list[str]:
    ours = costs[OURS].cpu_percent
    return [
        f"| {name} | {cost.processes} | {cost.cpu_percent:.2f} | {cost.rss_mb:.0f} "
        f"| {'' if name == OURS else f'1/{cost.cpu_percent / ours:.1f}'} |"
        for name, cost in costs.items()
    ]


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
    options = ["--quiet", "--time", "1", "--export", "csv", "--export-csv-file", str(directory / EXPORT)]
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


def measured(commands: dict[str, list[str]], directory: Path, seconds: float, warm_up: float = 12.0) -> dict[str, Cost]:
    broker = EmbeddedBroker(ALL_TOPICS, partitions=1)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LAPWING_", "PYTHON"))}
    environment = kept | {
        "LAPWING_KAFKA__BOOTSTRAP_SERVERS": broker.address,
        "LAPWING_DATA_DIR": str(directory / "data"),
        "LAPWING_AGENT__INTERVAL": "1",
        "LAPWING_AGENT__PROCESSES_INTERVAL": "1",
        "LAPWING_AGENT__TOP_PROCESSES": "20",
        "PYTHONPYCACHEPREFIX": str(directory / "pycache"),
    }
    running: dict[str, subprocess.Popen[bytes]] = {}
    (directory / EXPORT).unlink(missing_ok=True)
    try:
        for name, arguments in commands.items():
            with log_of(name, directory).open("ab") as log:
                running[name] = subprocess.Popen(
                    arguments, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
        deadline = time.monotonic() + UP_WITHIN
        while late := [name for name in running if not is_up(name, directory)]:
            for name, process in running.items():
                if process.poll() is not None:
                    raise SystemExit(f"{name} ended by itself:\n{log_of(name, directory).read_text()[-2000:]}")
            if time.monotonic() > deadline:
                raise SystemExit(f"{', '.join(late)}: not up within {UP_WITHIN:.0f} s")
            time.sleep(0.5)
        time.sleep(warm_up)
        crowd = len(psutil.pids())
        print(f"measuring for {seconds:.0f} s with {crowd} processes", flush=True)
        began, before = time.monotonic(), {name: cpu_seconds(p.pid) for name, p in running.items()}
        time.sleep(seconds)
        lasted = time.monotonic() - began
        return {
            name: Cost(
                100 * (cpu_seconds(p.pid) - before[name]) / lasted,
                rss_bytes(p.pid) / 1e6,
                crowd,
            )
            for name, p in running.items()
        }
    finally:
        for process in running.values():
            end(process)
        broker.close()


def is_up(name: str, directory: Path) -> bool:
    if name == OURS:
        return (directory / "data" / "run" / "agent.pulse").exists()
    if name == GLANCES:
        return (directory / EXPORT).exists()
    with suppress(OSError), socket.create_connection(("127.0.0.1", 19999), timeout=1):
        return True
    return False


def log_of(name: str, directory: Path) -> Path:
    return directory / f"{name.split()[0]}.log"


def end(process: subprocess.Popen[bytes]) -> None:
    children = family(process.pid)[1:] if process.poll() is None else []
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:
        if child.is_running():
            child.kill()


def family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    """Of the process, its living children, and those it has outlived."""
    total = 0.0
    for process in family(pid):
        with suppress(psutil.NoSuchProcess):  # its parent has its time by now, or very soon
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def rss_bytes(pid: int) -> int:
    total = 0
    for process in family(pid):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


if __name__ == "__main__":
    main(*(float(a) for a in sys.argv[1:]))
