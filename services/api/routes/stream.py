"""``/api/system/stream/``: what is new, as server-sent events, for as long as the client listens and may."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.api import messages, parameters
from services.api.ask import Ask
from services.api.broadcast import KINDS, Client, frame
from services.api.errors import unavailable
from services.api.feed import sample_frame
from services.api.parameters import HOST, Repeated
from services.api.responses import encoded
from services.api.route import Route

KIND = parameters.one_of("kind", "What to listen to; everything by default.", KINDS, KINDS[0])
KIND.schema.pop("default", None)
KINDS_WANTED = Repeated(KIND)
KEEP_ALIVE = 15.0  # seconds
FAREWELL = 2.0  # seconds a client that is dropped has to read why


async def stream(ask: Ask) -> Response:
    values = ask.query(HOST, KINDS_WANTED)
    host = ask.deps.directory.find(values[HOST], ask.now_ms) if values[HOST] else None
    client = Client(frozenset(values[KINDS_WANTED] or KINDS), host.host_id if host else None)
    if host and "samples" in client.kinds and host.sections:
        client.frames.put_nowait(sample_frame(host, set(host.sections), host.ts))
    if not ask.deps.hub.join(client):
        raise unavailable(messages.STREAMS_FULL, 10)
    return _Stream(ask, client)


class _Stream(Response):
    def __init__(self, ask: Ask, client: Client) -> None:
        super().__init__(media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._ask = ask
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = self._client
        waits = [
            asyncio.create_task(_gone(receive)),
            asyncio.create_task(client.ended.wait()),
            asyncio.create_task(self._pump(send)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if not waits[0].done():
                waits[2].cancel()
                await asyncio.wait(waits[2:])
                with suppress(TimeoutError):
                    async with asyncio.timeout(FAREWELL):
                        await self._farewell(send)
        finally:
            self._ask.deps.hub.leave(client)
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _pump(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await self._write(send, b"retry: 2000\n\n")
        while self._allowed():
            try:
                async with asyncio.timeout(KEEP_ALIVE):
                    data = await self._client.frames.get()
            except TimeoutError:
                data = b": still here\n\n"
            await self._write(send, data)
        self._client.end("no longer authorised")

    def _allowed(self) -> bool:
        """A login that ends takes its streams along."""
        scope, deps = self._ask.scope, self._ask.deps
        if scope.get("lapwing.local"):
            return True
        return deps.gate.principal("GET", scope["headers"]) is not None

    async def _farewell(self, send: Send) -> None:
        await self._write(send, frame("end", encoded({"reason": self._client.reason})))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    @staticmethod
    async def _write(send: Send, data: bytes) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


ROUTES = [
    Route(
        "GET",
        "/api/system/stream/",
        stream,
        "read",
        "What is new, as server-sent events",
        "live",
        data=str,
        example='event: sample\ndata: {"host_id": "…", "host": "web-1", "ts": 1769947200000, "metrics": {}, '
        '"state": {}}\n\n',
        parameters=(HOST, KINDS_WANTED),
        description="Events `sample` (a host's new readings: `metrics` by name, `state` in the shapes of the eight "
        "endpoints), `anomaly` and `alert` (as on the topics), and `end` with a reason before we hang up. A comment "
        "every 15 s keeps proxies from hanging up. A client that falls far behind is dropped.",
        refusals=(404, 503),
        media_type="text/event-stream",
    )
]
