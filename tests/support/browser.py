"""A real browser without a window, Debian's Chromium, where there is one: it opens pages and moves as a person.

with chromium() as address:
    async with page(address) as it: ...
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
STARTS_WITHIN = 60  # seconds


@contextmanager
def chromium() -> Iterator[str]:
    """Where it listens for its own tools, on loopback."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    with tempfile.TemporaryDirectory(prefix="lapwing-chromium-", ignore_cleanup_errors=True) as directory:
        process = subprocess.Popen(
            [
                *(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
                *("--remote-debugging-port=0", f"--user-data-dir={directory}", "about:blank"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield f"http://127.0.0.1:{_port(Path(directory) / 'DevToolsActivePort', process)}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    until = time.monotonic() + STARTS_WITHIN
    while process.poll() is None and time.monotonic() < until:
        if file.exists() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        time.sleep(0.05)
    raise AssertionError("Chromium does not listen")


class Page:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    async def open(self, url: str) -> None:
        """Returns when it is loaded and shown: its script has run."""
        await self.do("Page.enable")
        await self.do("Page.navigate", url=url)
        while (await self._socket.receive_json(timeout=60)).get("method") != "Page.loadEventFired":
            pass
        await self.value("new Promise(shown => requestAnimationFrame(() => requestAnimationFrame(shown)))")

    async def value(self, expression: str) -> Any:
        """Of JavaScript in the page, once it is there."""
        answer = await self.do("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        return answer["result"].get("value")

    async def do(self, method: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol, answered."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while (answer := await self._socket.receive_json(timeout=60)).get("id") != number:
            pass
        assert "error" not in answer, answer
        return answer["result"]


@asynccontextmanager
async def page(address: str) -> AsyncIterator[Page]:
    """An empty one."""
    async with aiohttp.ClientSession() as session:
        async with session.put(f"{address}/json/new") as answer:
            target = await answer.json()
        async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            yield Page(socket)
