"""Section ``network``: every interface that ``psutil.net_io_counters(pernic=True)`` lists, the loopback too."""

from __future__ import annotations

from typing import Any

from services.agent.collectors.base import Rest, finished, text
from services.agent.paths import HostPaths
from services.agent.procfile import KeptFile, KnownLines, read_text
from services.agent.rates import Counters

LINK_EVERY = 15.0  # seconds between looks at speed and state

_RECV_BYTES, _RECV_PACKETS, _ERRORS_IN, _DROPS_IN = 0, 1, 2, 3
_SENT_BYTES, _SENT_PACKETS, _ERRORS_OUT, _DROPS_OUT = 8, 9, 10, 11


def interfaces(data: bytes) -> list[bytes]:
    """The lines of ``/proc/net/dev`` below its head."""
    return data.split(b"\n")[2:]


def parse_interface(line: bytes) -> tuple[str, dict[str, int]] | None:
    """Counters since boot, ``None`` where the line is cut off. A name may hold colons, its first number touch it."""
    name, colon, rest = line.rpartition(b":")
    fields = rest.split(None, 12)
    if not colon or len(fields) < 12:
        return None
    n = [int(field) for field in fields[:12]]
    return text(name.strip()), {
        "bytes_sent": n[_SENT_BYTES],
        "bytes_recv": n[_RECV_BYTES],
        "packets_sent": n[_SENT_PACKETS],
        "packets_recv": n[_RECV_PACKETS],
        "errors_in": n[_ERRORS_IN],
        "errors_out": n[_ERRORS_OUT],
        "drops_in": n[_DROPS_IN],
        "drops_out": n[_DROPS_OUT],
    }


def parse_link(operstate: str, speed: str) -> dict[str, Any]:
    """``/sys/class/net/<interface>``: a wire that says nothing of itself (loopback, tunnels) counts as up."""
    link: dict[str, Any] = {"is_up": operstate not in ("down", "lowerlayerdown", "notpresent", "dormant")}
    if speed.isdigit() and 0 < int(speed) < 4_294_967_295:  # drivers say -1, or that as unsigned, for "unknown"
        link["speed_mbps"] = int(speed)
    return link


class NetworkCollector:
    section = "network"

    def __init__(self, paths: HostPaths | None = None) -> None:
        paths = paths or HostPaths()
        # /proc/net is the reader's own network namespace, whatever /proc it stands in.
        self._file = KeptFile(f"{paths.init}/net/dev")
        self._class = f"{paths.sys}/class/net"
        self._lines = KnownLines(parse_interface)
        self._counters = Counters()
        self._links: dict[str, dict[str, Any]] = {}
        self._links_due = 0.0

    def collect(self, now: float) -> list[dict[str, Any]]:
        return finished(self.begin(now))  # type: ignore[no-any-return]

    def begin(self, now: float) -> list[dict[str, Any]] | Rest:
        reading = self._lines.parse(interfaces(self._file.read()))
        if now < self._links_due and reading.keys() <= self._links.keys():
            return self.section_of(reading, now)
        return Rest(lambda: self.section_of(reading, now))  # a link's speed is its driver's business

    def section_of(self, reading: dict[str, dict[str, int]], now: float) -> list[dict[str, Any]]:
        if now >= self._links_due:
            self._links_due = now + LINK_EVERY
            self._links = {name: self._link(name) for name in reading}
        self._counters.keep_only(reading)
        return [self._interface(name, counters, now) for name, counters in reading.items()]

    def _interface(self, name: str, counters: dict[str, int], now: float) -> dict[str, Any]:
        sent, recv, sent_packets, recv_packets, e_in, e_out, d_in, d_out = self._counters.rates(
            name, list(counters.values()), now
        )
        return {
            "interface": name,
            **counters,
            "sent_bytes_per_s": sent,
            "recv_bytes_per_s": recv,
            "sent_packets_per_s": sent_packets,
            "recv_packets_per_s": recv_packets,
            "errors_per_s": round(e_in + e_out, 1),
            "drops_per_s": round(d_in + d_out, 1),
            **(self._links.get(name) or self._links.setdefault(name, self._link(name))),
        }

    def _link(self, name: str) -> dict[str, Any]:
        return parse_link(read_text(f"{self._class}/{name}/operstate"), read_text(f"{self._class}/{name}/speed"))
