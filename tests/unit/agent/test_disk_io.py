"""Section disk_io."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.agent.collectors.disk_io import DiskIoCollector, activity, looks_physical, parse_device
from services.agent.procfile import KnownLines

VDA = b" 254       0 vda 100 20 800 50 30 6 400 70 0 40 120 4958 2 1021456 507 530 8\n"
VDA1 = b" 254       1 vda1 90 20 700 50 30 6 400 70 0 40 120 0 0 0 0 0 0\n"
LOOP = b"   7       0 loop0 5 0 10 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"


def parsed(data: bytes) -> dict[str, tuple[int, ...]]:
    return KnownLines(parse_device).parse(data.split(b"\n"))


def test_counters_of_kernels_old_and_new() -> None:
    expected = (100, 800, 50, 30, 400, 70, 40, 120)
    assert parsed(VDA)["vda"] == expected
    assert parsed(b" 254 0 vda 100 20 800 50 30 6 400 70 0 40 120\n")["vda"] == expected
    assert parsed(b"   8    1 sda1 1 2 3 4\n\n") == {}  # a partition on a 2.6 kernel


@pytest.mark.parametrize("name", ["sda", "nvme0n1", "vda", "xvda", "mmcblk0", "hda"])
def test_devices(name: str) -> None:
    assert looks_physical(name)


@pytest.mark.parametrize(
    "name",
    ["sda1", "nvme0n1p2", "vda15", "mmcblk0p1", "mmcblk0boot0", "loop3", "ram0", "zram0", "dm-0", "md127", "sr0"],
)
def test_parts_and_stacks_of_devices(name: str) -> None:
    assert not looks_physical(name)


def test_only_whole_devices_are_told(tmp_path: Path) -> None:
    (tmp_path / "diskstats").write_bytes(VDA + VDA1 + LOOP)
    assert [d["device"] for d in DiskIoCollector(str(tmp_path), "/nowhere").collect(1.0)] == ["vda"]
    (tmp_path / "sys" / "block" / "vda").mkdir(parents=True)
    (tmp_path / "diskstats").write_bytes(VDA + VDA.replace(b"vda", b"odd"))  # not in /sys/block: a part of something
    assert [d["device"] for d in DiskIoCollector(str(tmp_path), str(tmp_path / "sys")).collect(1.0)] == ["vda"]


def test_what_a_device_did() -> None:
    did = activity(2.0, (10, 400, 30, 10, 200, 50, 1000, 3000))
    assert did == {
        "read_bytes_per_s": 102_400,
        "write_bytes_per_s": 51_200,
        "reads_per_s": 5.0,
        "writes_per_s": 5.0,
        "utilization_percent": 50.0,
        "await_ms": 4.0,
        "queue_depth": 1.5,
    }
    assert activity(1.0, (0, 0, 0, 0, 0, 0, 2000, 0))["utilization_percent"] == 100.0


def test_a_device_that_was_exchanged_starts_anew(tmp_path: Path) -> None:
    (tmp_path / "diskstats").write_bytes(VDA)
    collector = DiskIoCollector(str(tmp_path), "/nowhere")
    collector.collect(1.0)
    (tmp_path / "diskstats").write_bytes(VDA.replace(b"vda 100 20 800", b"vda 1 0 8"))
    (vda,) = collector.collect(2.0)
    assert vda.get("reads_per_s", 0.0) == 0.0
    assert vda["reads"] == 1
