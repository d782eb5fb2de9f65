"""The product's own front over the embedded engine of this test process, on loopback, and ways to make it fail.

It is here so that the same tests drive the code that speaks to servers.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from shared.store.front.app import Front as App
from shared.store.front.engine import Engine
from shared.store.front.listening import Listener
from shared.store.front.users import WRITER, Users
from tests.support.store import engine_dir

PASSWORD = "secret"


class Front:
    """``address`` is ``host:port``; ``failure`` (status, body) is answered instead of asking the engine; with ``hang``
    nothing is answered until it is set.
    """

    def __init__(self) -> None:
        self.address = ""
        self.failure: tuple[int, str] | None = None
        self.hang: threading.Event | None = None
        self.app = App(Engine(engine_dir().resolve(), {}, engine_dir()), Users({WRITER: PASSWORD}))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.hang:
            await asyncio.to_thread(self.hang.wait, 60)
        if not self.failure:
            await self.app(scope, receive, send)
            return
        status, body = self.failure
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body.encode()})


@contextlib.contextmanager
def clickhouse_http() -> Iterator[Front]:
    """On a loop and a thread of its own, so that a test may block."""
    front, started, ending = Front(), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        listener = Listener(front)
        front.address = f"127.0.0.1:{await listener.start('127.0.0.1', 0)}"
        started.set()
        await ending.wait()
        await listener.stop()
        front.app.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(30)
    try:
        yield front
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join(30)
        loop.close()
