"""Where the host is to be read: the machine itself, or a container into which the host's directories are mounted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shared.runtime.settings import AgentSettings


@dataclass(frozen=True)
class HostPaths:
    root: str = "/"
    proc: str = "/proc"
    sys: str = "/sys"

    @property
    def contained(self) -> bool:
        """Whether the host is somebody else: then ``self`` and our own namespaces say nothing about it."""
        return self.root != "/" or self.proc != "/proc"

    @property
    def init(self) -> str:
        """The process whose mounts and network are the host's."""
        return f"{self.proc}/1" if self.contained else f"{self.proc}/self"

    def under_root(self, path: str) -> str:
        """A path of the host as this process reaches it."""
        return path if self.root == "/" else f"{self.root}{path}".rstrip("/") or "/"


def host_paths(settings: AgentSettings) -> HostPaths:
    root = settings.root
    return HostPaths(str(root), str(settings.proc or _beside(root, "proc")), str(settings.sys or _beside(root, "sys")))


def _beside(root: Path, name: str) -> Path:
    return root / name
