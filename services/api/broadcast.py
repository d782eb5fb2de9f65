"""What is new, to everybody who listens: a bounded queue a client, and a word for who cannot keep up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Literal

from shared.runtime import selfmetrics

Kind = Literal["samples", "anomalies", "alerts"]
KINDS: tuple[Kind, ...] = ("samples", "anomalies", "alerts")
MOST_CLIENTS = 200
QUEUE = 256
"""Frames a client may be behind before it is dropped."""


@dataclass(eq=False)
class Client:
    """``host_id`` None listens to every host."""

    kinds: frozenset[str]
    host_id: str | None
    frames: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(QUEUE))
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    reason: str = ""

    def end(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.ended.set()


class Hub:
    def __init__(self) -> None:
        self._clients: set[Client] = set()

    def __len__(self) -> int:
        return len(self._clients)

    def join(self, client: Client) -> bool:
        """False when there are too many already."""
        if len(self._clients) >= MOST_CLIENTS:
            return False
        self._clients.add(client)
        selfmetrics.API_STREAMS.set(len(self._clients))
        return True

    def leave(self, client: Client) -> None:
        self._clients.discard(client)
        selfmetrics.API_STREAMS.set(len(self._clients))

    def wants(self, kind: Kind, host_id: str) -> bool:
        """Whether anybody listens: nothing is made ready for nobody."""
        return any(kind in c.kinds and c.host_id in (None, host_id) for c in self._clients)

    def send(self, kind: Kind, host_id: str, frame: bytes) -> None:
        for client in list(self._clients):
            if kind in client.kinds and client.host_id in (None, host_id):
                try:
                    client.frames.put_nowait(frame)
                except asyncio.QueueFull:
                    selfmetrics.API_STREAMS_DROPPED.add()
                    client.end("too slow")
                    self.leave(client)

    def close(self) -> None:
        """Ends every stream."""
        for client in list(self._clients):
            client.end("shutting down")
            self.leave(client)


def frame(event: str, data: bytes) -> bytes:
    """A server-sent event; ``data`` is JSON on one line."""
    return b"event: " + event.encode() + b"\ndata: " + data + b"\n\n"
