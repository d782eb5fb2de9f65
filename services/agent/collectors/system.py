"""Section ``system``: what the host is."""

from __future__ import annotations

import platform
import shlex
import socket
from typing import Any

from services.agent.collectors.base import text
from services.agent.paths import HostPaths
from services.agent.procfile import KeptFile, read_text


def parse_os_release(content: str) -> str:
    """The name a person knows the system by; empty when the file does not say."""
    for line in content.splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "PRETTY_NAME":
            try:
                return " ".join(shlex.split(value))
            except ValueError:
                return value.strip("\"' ")
    return ""


def parse_boot_time(stat: bytes) -> int | None:
    """Epoch milliseconds, of ``/proc/stat``."""
    start = stat.find(b"\nbtime ")
    return None if start < 0 else int(stat[start + 7 :].split(None, 1)[0]) * 1000


def host_name(paths: HostPaths) -> str:
    """The host's own name, also from inside a container (whose kernel name is the container's)."""
    inside = read_text(paths.under_root("/etc/hostname")).split("\n")[0].strip() if paths.contained else ""
    return text(inside or socket.gethostname() or "localhost")


class SystemCollector:
    section = "system"

    def __init__(self, paths: HostPaths | None = None) -> None:
        self._paths = paths or HostPaths()
        self._stat = KeptFile(f"{self._paths.proc}/stat")
        self._constant: dict[str, Any] = {}

    def collect(self, now: float) -> dict[str, Any]:
        if not self._constant:
            self._constant = {
                "platform": text(platform.platform(), 512),
                "architecture": text(platform.machine()),
                "kernel": text(platform.release()),
            }
        release = read_text(self._paths.under_root("/etc/os-release"))
        return {
            "hostname": host_name(self._paths),
            "boot_time": self._boot_time(),
            "os": text(parse_os_release(release) or platform.system()),
            **self._constant,
        }

    def _boot_time(self) -> int:
        boot_time = parse_boot_time(self._stat.read())
        if boot_time is None:
            raise ValueError("/proc/stat has no line `btime`")
        return boot_time
