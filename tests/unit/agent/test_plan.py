"""What is collected, how often, and what must not keep the others waiting."""

from __future__ import annotations

from services.agent import plan
from services.agent.paths import HostPaths
from shared.runtime.settings import AgentSettings
from shared.schemas.sample import HostSample


def test_every_section_of_the_schema_has_its_collector_and_interval() -> None:
    settings = AgentSettings(interval=2.0, processes_interval=10.0, disks_interval=30.0, gpu_interval=1.0)
    probes = {p.section: p for p in plan.planned(settings, plan.collectors(settings, HostPaths()))}
    envelope = {"schema_version", "kind", "event_id", "ts", "host_id", "host", "labels", "seq", "run", "agent"}
    assert set(probes) == set(HostSample.model_fields) - envelope
    assert {name for name, p in probes.items() if p.background} == {"disks", "gpus", "temperatures", "system"}
    assert {name: p.every for name, p in probes.items() if p.every > 1} == {
        "processes": 5,
        "disks": 15,
        "temperatures": 8,
        "system": 30,
    }
    assert probes["gpus"].every == 1, "no section comes more often than a tick"


MOUNTS = b"""proc /proc proc rw,nosuid 0 0
systemd-1 /proc/sys/fs/binfmt_misc autofs rw 0 0
/dev/vda1 / ext4 rw 0 0
"""


def test_what_the_kernel_makes_up_while_it_is_read_needs_no_thread() -> None:
    assert plan.instant(MOUNTS, "/proc") == set(plan.INSTANT)
    assert plan.instant(MOUNTS, "/host/proc") == set()
    assert plan.instant(b"", "/proc") == set()


def test_where_a_program_poses_as_the_kernel_it_may_hang() -> None:
    lxcfs = MOUNTS + b"lxcfs /proc/meminfo fuse.lxcfs rw 0 0\nlxcfs /proc/stat fuse.lxcfs rw 0 0\n"
    assert set(plan.INSTANT) - plan.instant(lxcfs, "/proc") == {"cpu", "memory", "swap"}


def test_what_is_slow_is_never_instant() -> None:
    settings = AgentSettings()
    probes = plan.planned(settings, plan.collectors(settings, HostPaths()), frozenset(plan.INSTANT))
    assert {p.section for p in probes if p.instant} == set(plan.INSTANT)
    assert not any(p.instant and p.background for p in probes)
