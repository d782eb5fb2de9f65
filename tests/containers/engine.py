"""A Docker engine of our own in namespaces of its own: it meets no other, and nothing that runs outlives the tests."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

TOOLS = ("dockerd", "docker", "debootstrap", "unshare", "setpriv", "mount", "ip")
READY_WITHIN = 60.0
STOP_WITHIN = 60.0
CLONE_NEWNET = 0x40000000


class NoEngine(Exception):
    """Why there cannot be one here."""


class Engine:
    """``docker`` runs a command against it. Its containers see the machine's processes and disks as containers do."""

    def __init__(self, pid: int, environ: dict[str, str]) -> None:
        self.pid = pid
        self.environ = environ

    def docker(self, *words: str, check: bool = True, within: float = 120.0) -> str:
        """What it printed, errors among it."""
        return run("docker", *words, environ=self.environ, check=check, within=within)

    def tidy(self) -> None:
        """Away with containers, their networks and their volumes; images stay."""
        if containers := self.docker("ps", "--all", "--quiet").split():
            self.docker("rm", "--force", "--volumes", *containers)
        for kind in ("network", "volume"):
            self.docker(kind, "prune", "--force")

    def in_its_network(self, work: Callable[[], T]) -> T:
        """``work()`` on a thread for which 127.0.0.1 is where the engine publishes ports."""
        answers: list[T] = []
        failures: list[BaseException] = []

        def there() -> None:
            try:
                with Path(f"/proc/{self.pid}/ns/net").open() as network:
                    libc = ctypes.CDLL(None, use_errno=True)
                    if libc.setns(network.fileno(), CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                answers.append(work())
            except BaseException as failure:
                failures.append(failure)

        thread = threading.Thread(target=there)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]
        return answers[0]


@contextmanager
def engine(home: Path, *, outside: bool) -> Iterator[Engine]:
    """``home`` keeps its images from run to run. ``outside``: commands that build images reach the network of this
    machine, and there are no networks for containers; else there are, on an island.

    Raises ``NoEngine``.
    """
    if os.geteuid():
        raise NoEngine("a Docker engine needs root")
    if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
        raise NoEngine(f"not installed: {', '.join(missing)}")
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock, tempfile.TemporaryDirectory(prefix="lapwing-docker-") as scratch:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise NoEngine(f"another run uses {home}") from None
        with _daemon(home, Path(scratch), outside) as pid:
            environ = {**os.environ, "DOCKER_HOST": f"unix://{scratch}/socket", "DOCKER_BUILDKIT": "0"}
            yield Engine(pid, environ)


@contextmanager
def _daemon(home: Path, scratch: Path, outside: bool) -> Iterator[int]:
    log = scratch / "log"
    # The first process of a process namespace: when it ends, the kernel ends every container.
    namespaces = ["--mount", "--propagation=slave", "--pid", "--mount-proc", "--fork", "--kill-child=KILL"]
    command = [
        "dockerd",
        f"--data-root={home / 'engine'}",
        f"--exec-root={scratch / 'exec'}",
        f"--pidfile={scratch / 'pid'}",
        f"--host=unix://{scratch / 'socket'}",
        *(["--bridge=none", "--iptables=false", "--ip6tables=false"] if outside else []),
    ]
    # A container may take the machine's mounts along only from where they are shared.
    script = 'mount --make-rshared / && ip link set lo up && exec "$@"'
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig=KILL", "unshare", *namespaces, *([] if outside else ["--net"])),
                *("sh", "-c", script, "sh", *command),
            ],
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + READY_WITHIN
        while not (scratch / "pid").exists() or not _answers(scratch / "socket"):
            if process.poll() is not None or time.monotonic() > deadline:
                last = log.read_text(errors="replace").splitlines()[-3:]
                raise NoEngine(f"dockerd does not come up: {' | '.join(last)[-600:]}")
            time.sleep(0.1)
        yield _child_of(process.pid)
    finally:
        _end(process)


def _answers(socket: Path) -> bool:
    question = ["docker", "--host", f"unix://{socket}", "version"]
    return subprocess.run(question, capture_output=True, timeout=20).returncode == 0


def _child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _end(process: subprocess.Popen[bytes]) -> None:
    """By asking the engine, which then stops what runs on it; else by force."""
    if process.poll() is None:
        try:
            os.kill(_child_of(process.pid), signal.SIGTERM)
            process.wait(STOP_WITHIN)
        except (OSError, IndexError, subprocess.TimeoutExpired):
            process.kill()
    process.wait(STOP_WITHIN)


def run(
    *command: str,
    environ: dict[str, str] | None = None,
    check: bool = True,
    within: float = 120.0,
    at: Path | None = None,
) -> str:
    """What it printed; an ``AssertionError`` with the end of it where the status is not 0 and ``check``."""
    done = subprocess.run(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=within, cwd=at
    )
    assert not check or done.returncode == 0, f"{' '.join(command)}: status {done.returncode}\n{done.stdout[-4000:]}"
    return done.stdout
