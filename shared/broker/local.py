"""An Apache Kafka of our own, as a child process on the loopback: the middle size between embedded and a cluster.

It needs a Java (``java.py``) and its jars (``jars.py``), keeps topics and committed offsets under the data directory
and never outlives the process that started it. Without authentication: who may log in to this machine may read it.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import math
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import resources
from pathlib import Path

from aiokafka import errors
from aiokafka.client import AIOKafkaClient

from shared.broker import leash
from shared.broker.embedded import BrokerError
from shared.broker.jars import VERSION, cache_dir, kafka_jars
from shared.broker.java import find_java
from shared.broker.kafka_properties import JVM, server_properties
from shared.broker.left_behind import end_left_behind, left_behind
from shared.broker.ports import two_ports

log = logging.getLogger(__name__)

READY_WITHIN = 90.0  # seconds; 2 to 4 on a quiet machine, more after a kill with much on disk
STOP_WITHIN = 2.0
ROOM = 64 << 20  # bytes; with less it comes up crippled for good: it cannot even unpack its native libraries
REVIVALS_WITHIN = 300.0
_POLL = 0.05
_COMPLAINT = re.compile(r"\bERROR\b|\bFATAL\b|^(Exception|Caused by|Error)|^[\w.]+Exception|^\S+: error:")


class LocalKafka:
    """``address`` is good from construction on, so that others can be built around it; somebody answers there between
    ``start`` and ``stop``. What it holds stays for the next start.

    The data directory belongs to the caller alone. ``start`` is to be awaited on a thread that lives as long as Kafka
    shall: Kafka dies with that thread.
    """

    name = "broker"

    def __init__(
        self,
        data_dir: Path,
        *,
        cache: Path | None = None,
        properties: Mapping[str, str] | None = None,
        revivals: int = 0,
    ) -> None:
        """``cache``: where the jars are kept, the user's by default. ``properties``: of Kafka, over ours.
        ``revivals``: how often within ``REVIVALS_WITHIN`` it is started again when it dies, before ``watch`` raises.

        Raises ``OSError`` and ``BrokerError``.
        """
        self._home = data_dir.absolute() / "kafka"
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._cache = cache or cache_dir()
        self._properties = dict(properties or {})
        self._pid_file = self._home / "pid"
        # By this argument a process is known to be the Kafka of this directory.
        self._mark = f"-Dlapwing.kafka.home={self._home}"
        self._ports = two_ports(self._home / "ports", ours=self._is_left_behind)
        self._process: subprocess.Popen[bytes] | None = None
        self._command: list[str] = []
        self._revivals = revivals
        self._log = self._home / "kafka.log"
        self._log_begin = 0
        self.address = f"127.0.0.1:{self._ports[0]}"

    @property
    def pid(self) -> int | None:
        """Of the Java process; ``None`` while there is none."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Returns when Kafka answers. Raises ``BrokerError`` when it cannot be had or does not come up."""
        java = await asyncio.to_thread(find_java)
        jars = await asyncio.to_thread(kafka_jars, self._cache)
        await asyncio.to_thread(end_left_behind, self._pid_file, self._mark)
        if lacking := self._lacks_room():
            raise BrokerError(lacking)
        self._prepare()
        self._command = [
            str(java),
            *JVM,
            f"-Djava.io.tmpdir={self._home / 'tmp'}",
            "-Dlog4j2.configurationFile=log4j2.properties",
            "-Dlapwing.kafka.log=kafka.log",
            self._mark,
            "-cp",
            f"{jars}/*",
        ]
        if not (self._home / "log").is_dir():
            await self._format()
        self._write_properties("server.properties", "log")
        await self._run()

    async def watch(self) -> None:
        """Raises ``BrokerError`` when Kafka dies and is not, or cannot be, started again."""
        deaths: list[float] = []
        while True:
            if self._process is None:
                raise BrokerError("Apache Kafka was not started")
            await _ended(self._process)
            epitaph = self._epitaph(self._process)
            now = time.monotonic()
            deaths = [then for then in deaths if then > now - REVIVALS_WITHIN] + [now]
            if len(deaths) > self._revivals:
                log.error("Apache Kafka died", extra={"reason": epitaph})
                raise BrokerError(epitaph)
            log.error("Apache Kafka died, starting it again", extra={"reason": epitaph})
            await self._until_there_is_room()
            await self._run()

    async def stop(self) -> None:
        """Within ``STOP_WITHIN`` by asking, then by force, from which Kafka recovers at its next start."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.terminate()
            if not await _ended(process, STOP_WITHIN):
                log.info("Apache Kafka is ended by force", extra={"seconds": STOP_WITHIN})
        finally:
            process.kill()
        await _ended(process, 1.0)
        self._pid_file.unlink(missing_ok=True)

    def _lacks_room(self) -> str:
        free = shutil.disk_usage(self._home).free
        return f"{self._home} has {free >> 20} MB left, Apache Kafka needs {ROOM >> 20}" if free < ROOM else ""

    async def _until_there_is_room(self) -> None:
        if lacking := self._lacks_room():
            log.warning("waiting for room on the disk", extra={"reason": lacking})
            while self._lacks_room():  # noqa: ASYNC110 - a disk tells nobody
                await asyncio.sleep(1.0)

    def _is_left_behind(self) -> bool:
        return left_behind(self._pid_file, self._mark) is not None

    def _prepare(self) -> None:
        # Native libraries are unpacked there, and stay when Kafka is killed.
        shutil.rmtree(self._home / "tmp", ignore_errors=True)
        (self._home / "tmp").mkdir()
        logging_file = resources.files("shared.broker") / "log4j2.properties"
        (self._home / "log4j2.properties").write_text(logging_file.read_text())

    def _write_properties(self, name: str, log_dir: str) -> None:
        (self._home / name).write_text(server_properties(*self._ports, log_dir, self._properties))

    async def _run(self) -> None:
        began = time.monotonic()
        self._process = self._spawn([*self._command, "kafka.Kafka", "server.properties"])
        self._pid_file.write_text(f"{self._process.pid}\n")
        await self._until_it_answers(self._process, began + READY_WITHIN)
        log.info(
            "Apache Kafka is up",
            extra={"version": VERSION, "address": self.address, "seconds": round(time.monotonic() - began, 1)},
        )

    async def _format(self) -> None:
        """Under another name first: a directory called ``log`` is complete."""
        shutil.rmtree(self._home / "log.new", ignore_errors=True)
        self._write_properties("format.properties", "log.new")
        cluster = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        # One in 64 begins with a dash: with a space before it, it would be taken for an option.
        tool = [
            "kafka.tools.StorageTool",
            "format",
            "--standalone",
            f"--cluster-id={cluster}",
            "-c",
            "format.properties",
        ]
        process = self._spawn([*self._command, *tool])
        try:
            if not await _ended(process, READY_WITHIN) or process.returncode:
                raise BrokerError(f"the directory of Apache Kafka cannot be made: {self._last_words()}")
        finally:
            process.kill()
        (self._home / "log.new").replace(self._home / "log")

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """On this very thread, of which the leash will be the child. In a session of its own: Ctrl-C is for us, who
        still need Kafka while the others stop.
        """
        self._log_begin = self._log.stat().st_size if self._log.exists() else 0
        with (self._home / "kafka.out").open("wb") as out:
            return subprocess.Popen(  # noqa: S603 - every word of it is ours
                [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *command],
                cwd=self._home,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def _until_it_answers(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise BrokerError(self._epitaph(process))
            if await _answers(self._ports[0]):
                return
            await asyncio.sleep(_POLL)
        raise BrokerError(
            f"Apache Kafka does not answer at {self.address} within {READY_WITHIN:g} s; {self._last_words()}"
        )

    def _epitaph(self, process: subprocess.Popen[bytes]) -> str:
        status = process.returncode
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return f"Apache Kafka {how}; {self._last_words()}"

    def _last_words(self) -> str:
        """The last complaint since it was started, and where there is more."""
        for path, begin in ((self._log, self._log_begin), (self._home / "kafka.out", 0)):
            with suppress(OSError), path.open("rb") as file:
                file.seek(min(begin, path.stat().st_size))
                lines = file.read(1 << 20).decode(errors="replace").splitlines()
                if complaints := [line.strip() for line in lines if _COMPLAINT.search(line)]:
                    return f"it said {complaints[-1][:300]!r} (see {path})"
        return f"see {self._log}"


def _environment() -> dict[str, str]:
    """Ours without our secrets, and with a locale in which Java can read any path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LAPWING_")}
    return {**kept, "LC_ALL": "C.UTF-8"}


async def _ended(process: subprocess.Popen[bytes], within: float = math.inf) -> bool:
    """Asks again and again: asyncio's own way of waiting for children needs the loop that started them."""
    deadline = time.monotonic() + within
    while process.poll() is None:
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(_POLL)
    return True


async def _answers(port: int) -> bool:
    """Whether somebody answers a request for metadata there, and names a broker."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()  # aiokafka would complain in the log
    except OSError:
        return False
    client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{port}", client_id="lapwing-probe", request_timeout_ms=2000)
    try:
        await client.bootstrap()
        return bool(client.cluster.brokers())
    except (errors.KafkaError, OSError, TimeoutError):
        return False
    finally:
        await client.close()
