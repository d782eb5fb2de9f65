"""Section ``disks``: mounted filesystems that keep somebody's data, with bytes and inodes."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Any

from services.agent.collectors.base import text
from services.agent.paths import HostPaths
from services.agent.procfile import KeptFile
from services.agent.rates import percent

# Reading these waits for another machine or another program, in the worst case for ever.
REMOTE = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "lustre", "beegfs", "gpfs", "afs", "ncpfs", "9p"}
    | {"ocfs2", "gfs2", "orangefs", "moosefs"}
    # Of programs that pose as filesystems (FUSE) these keep data; the others are views of something.
    | {f"fuse.{name}" for name in ("sshfs", "s3fs", "rclone", "glusterfs", "ceph", "ceph-fuse", "mergerfs", "juicefs")}
    | {f"fuse.{name}" for name in ("gcsfuse", "moosefs", "lizardfs", "mfs", "unionfs", "goofys")}
)
# Real data, although the kernel calls them "nodev".
LOCAL_NODEV = frozenset({"zfs", "bcachefs", "virtiofs"})
# On a device, but images: always 100 % full, always read-only.
IMAGES = frozenset({"squashfs", "iso9660", "udf", "erofs", "cramfs", "romfs"})


@dataclass(frozen=True)
class Mount:
    device: str
    mountpoint: str
    fstype: str
    read_only: bool = False

    @property
    def remote(self) -> bool:
        return self.fstype in REMOTE


def parse_mounts(data: bytes) -> list[Mount]:
    """``/proc/<pid>/mounts``: blanks, tabs, line ends and backslashes stand there as ``\\040`` and so on."""
    mounts = []
    for line in data.split(b"\n"):
        fields = line.split(b" ")
        if len(fields) < 4:
            continue
        device, mountpoint, fstype, options = fields[:4]
        mounts.append(Mount(_path(device), _path(mountpoint), text(fstype), b"ro" in options.split(b",")))
    return mounts


def _path(raw: bytes) -> str:
    for code, byte in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        raw = raw.replace(code, byte)
    return os.fsdecode(raw)


def parse_filesystems(data: bytes) -> frozenset[str]:
    """``/proc/filesystems``: the types that live on a device, and those that are as good."""
    on_device = {text(line.strip()) for line in data.split(b"\n") if line.startswith(b"\t")}
    return frozenset(on_device | LOCAL_NODEV) - IMAGES


def worth_reporting(mounts: list[Mount], on_device: frozenset[str]) -> list[Mount]:
    """What holds data, once each: of a device mounted several times (bind mounts, subvolumes) the shortest path.

    The root is reported whatever it is (an overlay in a container), for it is where programs fill the disk. Where
    something is mounted over something, the later one is what can be seen.
    """
    visible = {mount.mountpoint: mount for mount in mounts}
    kept: dict[str, Mount] = {}
    for mount in visible.values():
        if not (mount.fstype in on_device or mount.remote or mount.mountpoint == "/"):
            continue
        if mount.fstype in IMAGES and mount.mountpoint != "/":
            continue
        # A dataset or an export has a name of its own; "none" and the like say nothing.
        key = mount.device if "/" in mount.device or ":" in mount.device else mount.mountpoint
        other = kept.get(key)
        if other is None or len(mount.mountpoint) < len(other.mountpoint):
            kept[key] = mount
    return sorted(kept.values(), key=lambda mount: mount.mountpoint)


def usage(mount: Mount, stat: os.statvfs_result) -> dict[str, Any] | None:
    """As ``psutil.disk_usage``: ``free`` is what a user may still write, the percent is of what users can have.

    ``None`` for a filesystem without size.
    """
    unit = stat.f_frsize or stat.f_bsize
    total, used, free = stat.f_blocks * unit, (stat.f_blocks - stat.f_bfree) * unit, stat.f_bavail * unit
    if total <= 0:
        return None
    used, free = max(0, used), max(0, free)
    inodes = max(0, stat.f_files - stat.f_ffree)
    return {
        "device": text(mount.device),
        "mountpoint": text(mount.mountpoint, 4096),
        "fstype": text(mount.fstype),
        "total": total,
        "used": used,
        "free": free,
        "percent": percent(used, used + free),
        "inodes_total": stat.f_files,
        "inodes_used": inodes,
        "inodes_percent": percent(inodes, stat.f_files),
        "read_only": mount.read_only,
    }


class DisksCollector:
    section = "disks"

    def __init__(self, paths: HostPaths | None = None, *, patience: float = 1.0) -> None:
        """``patience``: seconds that one look waits for all remote filesystems together."""
        self._paths = paths or HostPaths()
        self._mounts = KeptFile(f"{self._paths.init}/mounts")
        self._on_device = b""
        self._patience = patience
        self._asked: dict[str, _Question] = {}

    def collect(self, now: float) -> list[dict[str, Any]]:
        if self._paths.rootless:
            raise OSError("the host's filesystems are out of reach: mount its root and name it in LAPWING_AGENT__ROOT")
        with open(f"{self._paths.proc}/filesystems", "rb") as file:  # noqa: PTH123 - a module may bring a new one
            on_device = parse_filesystems(file.read())
        mounts = worth_reporting(parse_mounts(self._mounts.read()), on_device)
        remote = {mount.mountpoint: self._ask(mount) for mount in mounts if mount.remote}
        self._asked = {path: q for path, q in self._asked.items() if path in remote or not q.answered.is_set()}
        left = self._patience
        found = []
        for mount in mounts:
            if mount.mountpoint in remote:
                question = remote[mount.mountpoint]
                left -= question.wait(max(0.0, left))
                stat = question.answer
            else:
                stat = self._stat(mount)
            if stat is not None and (section := usage(mount, stat)) is not None:
                found.append(section)
        return found

    def _ask(self, mount: Mount) -> _Question:
        """A server that does not answer is asked once, by one thread, until it does."""
        path = mount.mountpoint
        if path not in self._asked or self._asked[path].answered.is_set():
            self._asked[path] = _Question(lambda: self._stat(mount))
        return self._asked[path]

    def _stat(self, mount: Mount) -> os.statvfs_result | None:
        """``None`` for what is out of reach, gone meanwhile, or a single file mounted into a container."""
        path = self._paths.under_root(mount.mountpoint)
        try:
            return os.statvfs(path) if os.path.isdir(path) else None  # noqa: PTH112
        except OSError:
            return None


class _Question:
    def __init__(self, ask: Any) -> None:
        self.answered = threading.Event()
        self.answer: os.statvfs_result | None = None
        self._ask = ask
        threading.Thread(target=self._run, name="agent-statvfs", daemon=True).start()

    def wait(self, seconds: float) -> float:
        """Wait at most so long; returns roughly how much of it was used."""
        if self.answered.is_set():
            return 0.0
        return 0.0 if self.answered.wait(seconds) else seconds

    def _run(self) -> None:
        self.answer = self._ask()
        self.answered.set()
