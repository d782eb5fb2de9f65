"""One process of several: started, told ready by itself, started again when it dies, stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress

from services.supervise.relay import Relay
from services.supervise.restarts import Restarts
from shared.broker import leash
from shared.runtime.readiness import READY, VARIABLE

log = logging.getLogger(__name__)

BAD_INPUT = 2
ATTEMPTS = 5
KILLED_WITHIN = 0.5
HANGS_AFTER = 60.0
LOOK_EVERY = 10.0


class MemberFailed(RuntimeError):
    """It cannot be had; the message says how it ended."""


class Member:
    """A process that dies with this one, however this one dies. A ``Service`` of ``Runner``.

    ``start`` returns when it says that it is ready, and raises ``MemberFailed`` when it ends with status 2 (bad
    input: again would not help), or ``ATTEMPTS`` times without ever having been ready. Once it has been, it is
    started again whenever it ends, for ever.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environ: Mapping[str, str],
        relay: Relay,
        *,
        stop_within: float,
        silent: Callable[[], float | None] = lambda: None,
    ) -> None:
        """``silent``: seconds since it was last known to make progress, ``None`` where nobody can tell. When it has
        been silent for more than ``HANGS_AFTER``, it is killed.
        """
        self.name = name
        self._command = list(command)
        self._environ = dict(environ)
        self._relay = relay
        self._stop_within = stop_within
        self._silent = silent
        self._restarts = Restarts()
        self._process: asyncio.subprocess.Process | None = None
        self._ready = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """On the thread that lives longest: the process dies with it."""
        self._keeping = asyncio.create_task(self._keep(), name=f"keep {self.name}")
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait({self._keeping, ready}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if self._keeping.done():
            self._keeping.result()

    async def watch(self) -> None:
        assert self._keeping is not None
        await asyncio.shield(self._keeping)

    async def stop(self) -> None:
        """By asking, then by force."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait({self._keeping})
        process = self._process
        if process is None or process.returncode is not None:
            return
        try:
            with suppress(ProcessLookupError):
                process.terminate()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._stop_within):
                    await process.wait()
            if process.returncode is None:
                log.warning("ended by force", extra={"service": self.name, "seconds": self._stop_within})
        finally:
            with suppress(ProcessLookupError):
                process.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(KILLED_WITHIN):
                await process.wait()

    async def _keep(self) -> None:
        attempts = 0
        been_ready = False
        died: float | None = None
        while True:
            ready_at, ending = await self._life(died)
            been_ready = been_ready or ready_at is not None
            attempts += 1
            died = time.monotonic()
            if not been_ready and (ending == BAD_INPUT or attempts == ATTEMPTS):
                raise MemberFailed(f"{self.name} {_how(ending)} before it was ready; the log says why")
            pause = self._restarts.pause(died - ready_at if ready_at else 0.0)
            log.error(
                "a service died, starting it again",
                extra={"service": self.name, "reason": f"it {_how(ending)}", "seconds": pause},
            )
            await asyncio.sleep(pause)

    async def _life(self, died: float | None) -> tuple[float | None, int]:
        """From start to end. Returns when it became ready, if it did, and its exit status."""
        address = f"lapwing-{os.getpid()}-{secrets.token_hex(8)}"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            listener.bind("\0" + address)
            process = self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *self._command),
                env={**self._environ, VARIABLE: "@" + address},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C on the terminal is for us, who stop them in order
            )
            assert process.stdout and process.stderr
            voices = [
                asyncio.create_task(self._relay.follow(self.name, process.stdout, "said")),
                asyncio.create_task(self._relay.follow(self.name, process.stderr, "logged")),
            ]
            hearing = asyncio.create_task(self._hear(listener, died))
            looking = asyncio.create_task(self._look(process, hearing))
            try:
                ending = await process.wait()
            finally:
                hearing.cancel()
                looking.cancel()
                await asyncio.wait({hearing, looking})
            # What it said last is worth waiting for, though a grandchild may keep the pipe open.
            await asyncio.wait(voices, timeout=1.0)
            return (hearing.result() if not hearing.cancelled() else None), ending
        finally:
            listener.close()

    async def _look(self, process: asyncio.subprocess.Process, hearing: asyncio.Task[float]) -> None:
        """Ends a process that hangs; while it is not ready it may well be waiting for others. Looks twice: after this
        machine has slept, everybody seems silent once.
        """
        await asyncio.wait({hearing})
        suspicious = False
        while True:
            await asyncio.sleep(LOOK_EVERY)
            silent = self._silent()
            hangs = silent is not None and silent > HANGS_AFTER
            if hangs and suspicious:
                log.error("a service hangs, ending it", extra={"service": self.name, "seconds": round(silent or 0)})
                with suppress(ProcessLookupError):
                    process.kill()
                return
            suspicious = hangs

    async def _hear(self, listener: socket.socket, died: float | None) -> float:
        """When it said that it is ready."""
        while READY not in await asyncio.get_running_loop().sock_recv(listener, 4096):
            pass
        now = time.monotonic()
        if died is not None:
            log.info("a service is back", extra={"service": self.name, "seconds": round(now - died, 1)})
        self._ready.set()
        return now


class Together:
    """Members that start at the same time and stop at the same time. A ``Service`` of ``Runner``."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.name = ", ".join(member.name for member in members)
        self._members = members

    async def start(self) -> None:
        await _first_failure([member.start() for member in self._members])

    async def watch(self) -> None:
        await _first_failure([member.watch() for member in self._members])

    async def stop(self) -> None:
        await asyncio.gather(*(member.stop() for member in self._members))


async def _first_failure(work: Sequence[Coroutine[object, object, None]]) -> None:
    """Until all are done, or one of them raises; the others are let go then."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _how(status: int) -> str:
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
