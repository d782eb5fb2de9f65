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
    def rootless(self) -> bool:
        """Whether the host's directories are out of reach."""
        return self.contained and self.root == "/"

    @property
    def init(self) -> str:
        """The process whose mounts and network are the host's."""
        return f"{self.proc}/1" if self.contained else f"{self.proc}/self"

    def under_root(self, path: str) -> str:
        """A path of the host as this process reaches it."""
        return path if self.root == "/" else f"{self.root}{path}".rstrip("/") or "/"


def host_paths(settings: AgentSettings) -> HostPaths:
    """Where only the host's ``/proc`` is mounted, its first process shows the way to its root, if we may go there."""
    root, proc = settings.root, settings.proc or settings.root / "proc"
    sys = settings.sys or root / "sys"
    if root == Path("/") and proc != Path("/proc") and _is_directory(proc / "1" / "root"):
        root = proc / "1" / "root"
    return HostPaths(str(root), str(proc), str(sys))


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # we may not
        return False
