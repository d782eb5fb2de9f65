"""Templates that people wrote: they may be wrong, endless or greedy, and cost no more than a second."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from jinja2 import TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

WORKER = Path(__file__).with_name("template_worker.py")
START_S = 10.0
RENDER_S = 1.0
_LONGEST_LINE = 1 << 23


class TemplateFault(ValueError):
    """Why a template cannot be used, in words."""


def check(source: str) -> None:
    """Raises ``TemplateFault`` on a template that is none; nothing in it is carried out."""
    try:
        ImmutableSandboxedEnvironment().parse(source)
    except TemplateSyntaxError as error:
        raise TemplateFault(f"line {error.lineno}: {error.message}") from None
    except RecursionError:
        raise TemplateFault("it is nested too deeply") from None


class Sandbox:
    """A process that renders, started when it is needed and killed when it takes too long."""

    def __init__(self, *, render_s: float = RENDER_S) -> None:
        self._render_s = render_s
        self._process: Process | None = None
        self._starting: asyncio.Task[None] | None = None
        self._one = asyncio.Lock()

    async def render(self, source: str, context: Mapping[str, Any]) -> str:
        """``context`` is JSON. Raises ``TemplateFault``."""
        line = json.dumps({"source": source, "context": context}).encode() + b"\n"
        async with self._one:
            process = await self._started()
            try:
                async with asyncio.timeout(self._render_s):
                    answer = json.loads(await _ask(process, line))
            except TimeoutError:
                await self.close()
                raise TemplateFault(f"it was not done within {self._render_s:g} s") from None
            except (OSError, ValueError) as error:
                await self.close()
                raise TemplateFault(f"its process ended: {type(error).__name__}") from None
            except asyncio.CancelledError:
                await self.close()
                raise
        if "error" in answer:
            raise TemplateFault(str(answer["error"])[:500])
        return str(answer["text"])

    async def close(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
            self._starting = None
        process, self._process = self._process, None
        if process is not None:
            await _kill(process)

    async def _started(self) -> Process:
        """A start that nobody can wait for any more goes on: on a busy machine the next attempt finds it done."""
        if self._process is None or self._process.returncode is not None:
            self._starting = self._starting or asyncio.create_task(self._start())
            try:
                await asyncio.shield(self._starting)
            except (OSError, ValueError) as error:
                raise TemplateFault(f"its process did not start: {type(error).__name__}") from None
            finally:
                if self._starting.done():
                    self._starting = None
        assert self._process
        return self._process

    async def _start(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", str(WORKER)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env={},
            limit=_LONGEST_LINE,
        )
        try:
            assert process.stdout
            async with asyncio.timeout(START_S):
                if await process.stdout.readline() != b"ready\n":
                    raise OSError("it did not start")
        except BaseException:
            await _kill(process)
            raise
        self._process = process


async def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def _ask(process: Process, line: bytes) -> bytes:
    assert process.stdin
    assert process.stdout
    process.stdin.write(line)
    await process.stdin.drain()
    return await process.stdout.readline()
