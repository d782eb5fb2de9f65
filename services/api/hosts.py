"""Which host is meant, and how it is doing."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from services.api import messages
from services.api.errors import not_found, unprocessable
from services.api.live import HostState, Live
from services.api.parameters import shortened
from shared.runtime.settings import Settings

CHOICE_HOLDS_MS = 500
Status = Literal["online", "silent", "conflict"]


@dataclass(frozen=True)
class OwnHost:
    """The machine the API runs on, as its agent would call it."""

    host_id: str
    name: str

    @staticmethod
    def of(settings: Settings) -> OwnHost:
        root = settings.agent.root
        files = (root / "etc/machine-id", root / "var/lib/dbus/machine-id")
        machine_id = next((found for f in files if (found := _machine_id(f))), "")
        return OwnHost(settings.agent.host_id or machine_id, settings.agent.host or socket.gethostname())


def _machine_id(file: Path) -> str:
    try:
        return file.read_text().strip().replace("-", "").lower()
    except (OSError, UnicodeDecodeError):
        return ""


class Directory:
    """``silent_after_ms``: without news for so long (or three intervals, if that is longer) a host is silent."""

    def __init__(self, live: Live, own: OwnHost, silent_after_ms: int) -> None:
        self._live = live
        self._own = own
        self._silent_after_ms = silent_after_ms
        self._chosen: tuple[int, int, HostState | None] = (0, 0, None)

    def status(self, host: HostState, now_ms: int) -> Status:
        if now_ms - host.heard_ms > max(self._silent_after_ms, 3 * host.interval_ms()):
            return "silent"
        return "conflict" if host.conflict_until_ms > now_ms else "online"

    def find(self, name_or_id: str | None, now_ms: int) -> HostState:
        """The host meant, or the default one. Raises ``ApiError`` 404, or 422 where a name is not unique."""
        if name_or_id is None:
            return self._default(now_ms)
        if state := self._live.get(name_or_id):
            return state
        named = self._live.named(name_or_id)
        if not named:
            raise not_found(messages.UNKNOWN_HOST.of(host=shortened(name_or_id)))
        if len(named) == 1:
            return named[0]
        # A machine that was reinstalled leaves its old identity behind, silent.
        speaking = [h for h in named if self.status(h, now_ms) != "silent"]
        if len(speaking) > 1:
            ids = ", ".join(sorted(h.host_id for h in speaking)[:10])
            raise unprocessable(messages.AMBIGUOUS_HOST.of(host=shortened(name_or_id), ids=ids))
        return max(speaking or named, key=lambda h: h.heard_ms)

    def _default(self, now_ms: int) -> HostState:
        own = self._live.get(self._own.host_id)
        if own is not None and self.status(own, now_ms) != "silent":
            return own
        # Looking at every host is too dear for every request.
        until, hosts, chosen = self._chosen
        if chosen is None or now_ms >= until or hosts != len(self._live):
            chosen = self._choose(own, now_ms)
            self._chosen = now_ms + CHOICE_HOLDS_MS, len(self._live), chosen
        return chosen

    def _choose(self, own: HostState | None, now_ms: int) -> HostState:
        last = self._live.last_heard()
        if last is None:
            raise not_found(messages.NO_HOSTS)
        if own is None:
            own = max(self._live.named(self._own.name), key=lambda h: h.heard_ms, default=None)
        if own is None or (self.status(own, now_ms) == "silent" and self.status(last, now_ms) != "silent"):
            return last
        return own
