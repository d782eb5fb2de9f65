"""Section disks."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from services.agent.collectors import disks
from services.agent.collectors.disks import (
    DisksCollector,
    Mount,
    parse_filesystems,
    parse_mounts,
    usage,
    worth_reporting,
)
from services.agent.paths import HostPaths

FILESYSTEMS = b"nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\n\text4\n\tbtrfs\n\tsquashfs\n\txfs\nnodev\tfuse\n\tfuseblk\n"
ON_DEVICE = parse_filesystems(FILESYSTEMS)


def test_mounts_with_odd_paths() -> None:
    mounts = parse_mounts(b"/dev/sda1 /mnt/a\\040b\\134c ext4 ro,relatime 0 0\nproc /proc proc rw 0 0\nbroken\n\n")
    assert mounts == [Mount("/dev/sda1", "/mnt/a b\\c", "ext4", True), Mount("proc", "/proc", "proc")]


def test_types_that_live_on_a_device() -> None:
    assert {"ext4", "xfs", "zfs", "fuseblk"} <= ON_DEVICE
    assert not {"tmpfs", "proc", "squashfs", "fuse"} & ON_DEVICE


def _points(*mounts: Mount) -> list[str]:
    return [mount.mountpoint for mount in worth_reporting(list(mounts), ON_DEVICE)]


def test_what_keeps_nobodys_data_is_left_out() -> None:
    assert _points(
        Mount("proc", "/proc", "proc"),
        Mount("tmpfs", "/run", "tmpfs"),
        Mount("/dev/sda1", "/", "ext4"),
        Mount("/dev/loop3", "/snap/core/1", "squashfs", True),
        Mount("overlay", "/var/lib/docker/overlay2/x/merged", "overlay"),
        Mount("cgroup2", "/sys/fs/cgroup", "cgroup2"),
        Mount("/dev/sdb1", "/srv", "xfs"),
        Mount("gvfsd-fuse", "/run/user/1/gvfs", "fuse.gvfsd-fuse"),
        Mount("lxcfs", "/var/lib/lxcfs", "fuse.lxcfs"),
    ) == ["/", "/srv"]


def test_a_device_mounted_several_times_is_told_once() -> None:
    assert _points(
        Mount("/dev/sda1", "/var/lib/kubelet/pods/x/volumes", "ext4"),
        Mount("/dev/sda1", "/", "ext4"),
        Mount("/dev/sda1", "/etc/hosts", "ext4"),
        Mount("tank/home", "/home", "zfs"),
        Mount("tank/home", "/mnt/again/home", "zfs"),
    ) == ["/", "/home"]


def test_the_root_is_told_whatever_it_is_and_what_is_covered_is_not() -> None:
    assert _points(Mount("overlay", "/", "overlay")) == ["/"]
    assert worth_reporting([Mount("rootfs", "/", "rootfs"), Mount("/dev/sda1", "/", "ext4")], ON_DEVICE) == [
        Mount("/dev/sda1", "/", "ext4")
    ]


def test_shares_of_other_machines_count() -> None:
    assert _points(Mount("nas:/export", "/mnt/nas", "nfs4"), Mount("//nas/x", "/mnt/x", "cifs")) == [
        "/mnt/nas",
        "/mnt/x",
    ]


def test_percent_is_of_what_users_can_have() -> None:
    # 1000 blocks, 300 free of which 200 for users; 50 of 200 inodes used
    stat = os.statvfs_result((4096, 4096, 1000, 300, 200, 200, 150, 150, 0, 255))
    section = usage(Mount("/dev/sda1", "/", "ext4"), stat)
    assert section is not None
    assert section["total"] == 1000 * 4096
    assert section["used"] == 700 * 4096
    assert section["free"] == 200 * 4096
    assert section["percent"] == 77.8
    assert (section["inodes_used"], section["inodes_percent"]) == (50, 25.0)


def test_filesystems_without_a_size_or_without_inodes() -> None:
    nothing = os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255))
    assert usage(Mount("x", "/x", "fuse.x"), nothing) is None
    btrfs = os.statvfs_result((4096, 4096, 10, 5, 5, 0, 0, 0, 0, 255))
    section = usage(Mount("x", "/x", "btrfs"), btrfs)
    assert section is not None
    assert section["inodes_percent"] == 0.0


def _host(tmp_path: Path, mounts: bytes) -> HostPaths:
    proc = tmp_path / "proc"
    (proc / "1").mkdir(parents=True)
    (proc / "1" / "mounts").write_bytes(mounts)
    (proc / "filesystems").write_bytes(FILESYSTEMS)
    return HostPaths(str(tmp_path), str(proc), str(tmp_path / "sys"))


def test_in_a_container_the_hosts_mounts_are_looked_at_under_its_root(tmp_path: Path) -> None:
    (tmp_path / "srv").mkdir()
    (tmp_path / "file").touch()
    paths = _host(
        tmp_path,
        b"/dev/sda1 / ext4 rw 0 0\n/dev/sdb1 /srv xfs ro 0 0\n/dev/sdc1 /gone xfs rw 0 0\n/dev/sdd1 /file xfs rw 0 0\n",
    )
    found = DisksCollector(paths).collect(1.0)
    assert [(d["mountpoint"], d["read_only"]) for d in found] == [("/", False), ("/srv", True)]
    assert found[0]["total"] == os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize


def test_a_container_that_does_not_see_the_hosts_root_does_not_pass_its_own_disks_off_as_the_hosts(
    tmp_path: Path,
) -> None:
    apart = _host(tmp_path, b"/dev/sda1 / ext4 rw 0 0\n")
    with pytest.raises(OSError, match="LAPWING_AGENT__ROOT"):
        DisksCollector(HostPaths("/", apart.proc, apart.sys)).collect(1.0)


def test_a_file_server_that_does_not_answer_costs_only_its_own_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nas").mkdir()
    paths = _host(tmp_path, b"/dev/sda1 / ext4 rw 0 0\nnas:/export /nas nfs4 rw 0 0\n")
    answers, asked, statvfs = threading.Event(), [], os.statvfs

    def hanging(path: str) -> os.statvfs_result:
        if path.endswith("/nas"):
            asked.append(path)
            assert answers.wait(30)
        return statvfs(path)

    monkeypatch.setattr(disks.os, "statvfs", hanging)
    collector = DisksCollector(paths, patience=0.01)
    for now in (1.0, 2.0, 3.0):
        assert [d["mountpoint"] for d in collector.collect(now)] == ["/"]
    assert len(asked) == 1, "one thread waits for a server, not one more with every look"

    answers.set()
    collector = DisksCollector(paths, patience=10)
    assert [d["mountpoint"] for d in collector.collect(4.0)] == ["/", "/nas"]
