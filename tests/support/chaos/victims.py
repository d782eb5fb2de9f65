"""The product as separate processes, and hands on each of them. Only what was started here is ever touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from tests.support.chaos.deeds import EVERYTHING, JAVA

MODULE = "services"


class Victims:
    def __init__(self, data_dir: Path, log: Path, **settings: str) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LAPWING_")}
        self._env = {**kept, "LAPWING_DATA_DIR": str(data_dir), **settings}
        self._data_dir = data_dir
        self._log = log
        self._extra: list[subprocess.Popen[bytes]] = []
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE, "up", "--processes"],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def process(self, target: str, within: float = 120.0) -> psutil.Process:
        """The one that bears this name now; waits while it is being started again."""
        assert self._process is not None
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            for child in psutil.Process(self._process.pid).children(recursive=True):
                if _is(child, target):
                    return child
            time.sleep(0.05)
        raise AssertionError(f"no process for {target} within {within} s")

    def everybody(self) -> list[psutil.Process]:
        """All that the supervisor has started, directly or not."""
        assert self._process is not None
        return psutil.Process(self._process.pid).children(recursive=True)

    def send(self, number: int) -> None:
        """To the supervisor."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """The supervisor's exit status, when it ends."""
        assert self._process is not None
        return self._process.wait(60)

    def environment(self) -> dict[str, str]:
        """What the services were told."""
        return self.process("ingest").environ()

    def kill(self, target: str) -> None:
        if target == EVERYTHING:
            assert self._process is not None
            self._process.kill()
            self._process.wait(10)
            self.start()
        else:
            self.process(target).kill()

    def signal(self, process: psutil.Process, number: int) -> None:
        """Somebody else may have ended it meanwhile."""
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)

    def more_ingest(self, upto: int = 2) -> None:
        """Up to so many besides the first, each with a data directory of its own."""
        environment = self.environment()
        environment.pop("NOTIFY_SOCKET", None)
        self._extra = [extra for extra in self._extra if extra.poll() is None]
        while len(self._extra) < upto:
            number = time.monotonic_ns()
            with self._log.open("ab") as log:
                self._extra.append(
                    subprocess.Popen(
                        [sys.executable, "-m", MODULE, "ingest"],
                        env={**environment, "LAPWING_DATA_DIR": str(self._data_dir / f"ingest-{number}")},
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                    )
                )

    def fewer_ingest(self) -> None:
        """The first is left alone: of the others one is asked to end, one is killed."""
        for index, extra in enumerate(self._extra):
            extra.send_signal(signal.SIGKILL if index % 2 else signal.SIGTERM)
        for extra in self._extra:
            _wait(extra)
        self._extra.clear()

    @property
    def extra(self) -> int:
        return sum(extra.poll() is None for extra in self._extra)

    def stop(self) -> int | None:
        """Everything is gone afterwards. Returns the supervisor's exit status."""
        for extra in self._extra:
            extra.kill()
            extra.wait(10)
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        return _wait(self._process)


def _wait(process: subprocess.Popen[bytes], within: float = 10.0) -> int:
    try:
        return process.wait(within)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait(10)


def _is(process: psutil.Process, target: str) -> bool:
    try:
        words = process.cmdline()
        if target == JAVA:
            return "kafka.Kafka" in words
        return words[1:4] == ["-m", "services", target]
    except (psutil.Error, IndexError):
        return False
