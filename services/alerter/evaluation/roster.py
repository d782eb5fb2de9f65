"""Hosts whose silence would be missed, as the control topic says it and as we would have it say. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared.schemas.control import Watched

SAID_EVERY_S = 600.0
"""A host whose name or labels change all the time is not written down all the time."""


class Roster:
    """Seconds are the monotonic clock's. ``most``: hosts that are remembered; more are not written down."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[str, Watched] = {}
        self._unsaid: dict[str, Watched | None] = {}
        self._said_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[Watched]:
        return iter(list(self._known.values()))

    def told(self, host_id: str, event: Watched | None) -> None:
        """The control topic says this of the host, ``None`` that it is forgotten."""
        if event is None:
            self._known.pop(host_id, None)
            self._said_at.pop(host_id, None)
        elif host_id in self._known or len(self._known) < self._most:
            self._known[host_id] = event

    def present(self, host_id: str, host: str, labels: Mapping[str, str], now_ms: int) -> None:
        """This host speaks here, under this name."""
        known = self._known.get(host_id)
        if known is not None and known.host == host and known.labels == labels:
            self._unsaid.pop(host_id, None)
        elif known is not None or len(self._known) < self._most:
            event_id = f"watched:{host_id}:{now_ms}"[:128]
            self._unsaid[host_id] = Watched(event_id=event_id, ts=now_ms, id=host_id, host=host, labels=dict(labels))

    def gone(self, host_id: str) -> None:
        """Nobody misses this host any more."""
        if host_id in self._known or host_id in self._unsaid:
            self._unsaid[host_id] = None

    def take(self, now: float) -> list[tuple[str, Watched | None]]:
        """What the control topic should say, as ``(key, event)``, ``None`` to forget; the caller sees that it does."""
        out: list[tuple[str, Watched | None]] = []
        for host_id, event in list(self._unsaid.items()):
            if event is not None and now - self._said_at.get(host_id, -SAID_EVERY_S) < SAID_EVERY_S:
                continue
            del self._unsaid[host_id]
            self.told(host_id, event)
            if event is not None:
                self._said_at[host_id] = now
            out.append((f"watched:{host_id}", event))
        return out
