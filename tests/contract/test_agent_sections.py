"""What the agent says of this very machine: valid to the last field, and what psutil says of it."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from services.agent import plan
from services.agent.collectors import portable
from services.agent.collectors.process_details import PortableDetails
from services.agent.collectors.process_scan import PortableScan
from services.agent.collectors.processes import ProcessesCollector
from services.agent.paths import HostPaths, host_paths
from services.agent.redact import Redactor
from services.agent.sampler import encode
from shared.runtime.settings import AgentSettings
from shared.schemas.codec import Decoder
from shared.schemas.sample import HostSample

SECTIONS = set(HostSample.model_fields) - {
    "schema_version", "kind", "event_id", "ts", "host_id", "host", "labels", "seq", "agent",
}  # fmt: skip
linux = pytest.mark.skipif(sys.platform != "linux", reason="the cheap way is Linux's")


@dataclass(frozen=True)
class Collected:
    """``used``: the least and the most, in percent of a CPU, that this process can have used between the readings."""

    sections: dict[str, Any]
    used: tuple[float, float]


def collected(collectors: Any) -> Collected:
    """Two readings of everything, so that there are rates; the second is returned."""
    collectors, looks = list(collectors), []

    def read() -> dict[str, Any]:
        looks.append((time.monotonic(), time.process_time()))
        found = {collector.section: collector.collect(time.monotonic()) for collector in collectors}
        looks.append((time.monotonic(), time.process_time()))
        return {section: content for section, content in found.items() if content is not None}

    read()
    enough = time.process_time() + 0.3
    while time.process_time() < enough:  # have something to measure
        sum(range(10_000))
    sections = read()
    (begin, cpu_begin), (begun, cpu_begun), (ending, cpu_ending), (end, cpu_end) = looks
    ticks = 2 / os.sysconf("SC_CLK_TCK")  # of user time and of system time: as precise as the kernel tells them
    least, most = (cpu_ending - cpu_begun - ticks) / (end - begin), (cpu_end - cpu_begin + ticks) / (ending - begun)
    return Collected(sections, (100 * least, 100 * most))


def validated(it: Collected) -> HostSample:
    event = {"event_id": "e", "ts": 1, "host_id": "h", "host": "n", "kind": "sample", **it.sections}
    line = encode(event)
    assert b"NaN" not in line
    Decoder(HostSample).line(line)
    return HostSample.model_validate_json(line)


@pytest.fixture(scope="module")
def here() -> Collected:
    return collected(plan.collectors(AgentSettings(), HostPaths()))


@pytest.fixture(scope="module")
def sample(here: Collected) -> HostSample:
    return validated(here)


def test_every_section_is_there_and_valid(sample: HostSample) -> None:
    there = {name for name in SECTIONS if getattr(sample, name) is not None}
    may_lack = set() if Path("/proc/pressure/cpu").exists() else {"pressure"}
    assert SECTIONS - there <= may_lack


def test_numbers_on_the_wire_are_as_short_as_they_are_precise(here: Collected) -> None:
    def floats(part: Any) -> Any:
        if isinstance(part, float):
            yield part
        elif isinstance(part, dict):
            for value in part.values():
                yield from floats(value)
        elif isinstance(part, list):
            for value in part:
                yield from floats(value)

    for number in floats(here.sections):
        assert number == round(number, 2), number


@linux
def test_memory_is_psutils(sample: HostSample) -> None:
    theirs, ours = psutil.virtual_memory(), sample.memory
    assert ours is not None
    assert ours.total == theirs.total
    assert ours.available == pytest.approx(theirs.available, rel=0.05)
    assert ours.percent == pytest.approx(theirs.percent, abs=2)
    assert sample.swap is not None
    assert sample.swap.total == psutil.swap_memory().total


@linux
def test_disks_are_psutils_but_for_images_and_repeats(sample: HostSample) -> None:
    theirs = {p.mountpoint for p in psutil.disk_partitions(all=False)}
    ours = {d.mountpoint: d for d in sample.disks or ()}
    assert "/" in ours
    devices = {p.device for p in psutil.disk_partitions(all=False) if p.fstype not in ("squashfs", "iso9660")}
    assert devices <= {d.device for d in ours.values()} | {p for p in devices if not Path(p).exists()}
    for mountpoint in theirs & ours.keys():
        use = psutil.disk_usage(mountpoint)
        assert ours[mountpoint].total == use.total
        assert ours[mountpoint].percent == pytest.approx(use.percent, abs=1)


@linux
def test_interfaces_are_psutils(sample: HostSample) -> None:
    theirs = psutil.net_io_counters(pernic=True)
    assert {n.interface for n in sample.network or ()} == set(theirs)
    for interface in sample.network or ():
        assert interface.bytes_recv <= theirs[interface.interface].bytes_recv


@linux
def test_cpu_load_and_disk_io_are_psutils(sample: HostSample) -> None:
    assert sample.cpu is not None
    assert sample.cpu.count == psutil.cpu_count() == len(sample.cpu.per_core)
    assert sample.cpu.percent > 0, "this process was busy meanwhile"
    modes = sample.cpu.modes
    whole = modes.user + modes.nice + modes.system + modes.idle + modes.iowait + modes.irq + modes.softirq + modes.steal
    assert whole == pytest.approx(100, abs=1)
    assert sample.load is not None
    assert sample.load.load1 == pytest.approx(psutil.getloadavg()[0], abs=1)
    theirs = psutil.disk_io_counters(perdisk=True)
    for device in sample.disk_io or ():
        assert device.read_bytes <= theirs[device.device].read_bytes


@linux
def test_processes_are_psutils(here: Collected, sample: HostSample) -> None:
    assert sample.processes is not None
    assert sample.processes.count == pytest.approx(len(psutil.pids()), abs=20)
    me = next(p for p in sample.processes.top if p.pid == os.getpid())
    theirs = psutil.Process()
    assert me.name == theirs.name()
    assert me.username == theirs.username()
    assert here.used[0] <= me.cpu_percent <= here.used[1]
    assert me.create_time == pytest.approx(theirs.create_time() * 1000, abs=1000)
    assert me.memory_info.rss == pytest.approx(theirs.memory_info().rss, rel=0.2)
    assert len(me.cmdline) == len(theirs.cmdline())
    assert sample.system is not None
    assert sample.system.boot_time == pytest.approx(psutil.boot_time() * 1000, abs=2000)


@linux
def test_a_container_with_the_hosts_directories_sees_the_same_machine(tmp_path: Path, sample: HostSample) -> None:
    """The host's root under another path, as ``-v /:/host:ro`` gives it."""
    (tmp_path / "host").symlink_to("/")
    paths = host_paths(AgentSettings(root=tmp_path / "host"))
    try:
        inside = validated(collected(plan.collectors(AgentSettings(), paths)))
    finally:
        psutil.PROCFS_PATH = "/proc"
    assert inside.memory is not None and sample.memory is not None
    assert inside.memory.total == sample.memory.total
    assert [d.mountpoint for d in inside.disks or ()] == [d.mountpoint for d in sample.disks or ()]
    assert {n.interface for n in inside.network or ()} == {n.interface for n in sample.network or ()}
    assert inside.processes is not None
    assert inside.processes.count > 1


def test_the_portable_way_says_the_same(sample: HostSample) -> None:
    processes = ProcessesCollector(PortableScan(), PortableDetails(Redactor()), top=20)
    there = collected([*portable.collectors(), processes])
    theirs = validated(there)
    assert theirs.cpu is not None and sample.cpu is not None
    assert theirs.cpu.count == sample.cpu.count
    assert theirs.memory is not None and sample.memory is not None
    assert theirs.memory.total == sample.memory.total
    assert {n.interface for n in theirs.network or ()} == {n.interface for n in sample.network or ()}
    assert theirs.processes is not None
    me = next(p for p in theirs.processes.top if p.pid == os.getpid())
    assert there.used[0] <= me.cpu_percent <= there.used[1]
    assert theirs.system is not None and sample.system is not None
    assert theirs.system.hostname == sample.system.hostname


def test_nothing_that_is_said_of_this_machine_is_refused_by_the_fast_decoder(here: Collected) -> None:
    line = encode({"event_id": "e", "ts": 1, "host_id": "h", "host": "n", "kind": "sample", **here.sections})
    assert msgspec.json.decode(line)["kind"] == "sample"
    assert Decoder(HostSample).line(line).processes is not None
