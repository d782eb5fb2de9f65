"""What looks like a fault and is none: nobody is told."""

from __future__ import annotations

import math
import random

import pytest

from services.detector.findings.bank import Findings
from tests.unit.detector.findings.days import (
    DAY,
    GB,
    HOUR,
    MINUTE,
    SECOND,
    T0,
    Change,
    Sections,
    card,
    cpu,
    disk,
    happens,
    load,
    make,
    memory,
    opened,
    ordinary,
    process,
    processes,
    sample,
    swap,
    told,
)
from tests.unit.detector.stories import idle


def step_of_disk(_: int, sections: Sections) -> None:
    sections["disks"] = [disk(85)]


def step_of_memory(_: int, sections: Sections) -> None:
    sections["memory"] = memory(80)


def steps_of_disk(ms: int, sections: Sections) -> None:
    sections["disks"] = [disk(60 + 10 * (ms // (4 * HOUR)))]


def log_rotation(ms: int, sections: Sections) -> None:
    sections["disks"] = [disk(60 + 4 * (ms % HOUR) / HOUR)]


def noise_on_disk(ms: int, sections: Sections) -> None:
    sections["disks"] = [disk(60 + random.Random(ms).uniform(-8, 8))]


def garbage_collector(ms: int, sections: Sections) -> None:
    sections["memory"] = memory(40 + 35 * (ms % (7 * MINUTE)) / (7 * MINUTE))


def slow_garbage_collector(ms: int, sections: Sections) -> None:
    sections["memory"] = memory(40 + 12 * (ms % (90 * MINUTE)) / (90 * MINUTE))


def warming_cache(ms: int, sections: Sections) -> None:
    sections["memory"] = memory(45 + 35 * (1 - math.exp(-ms / (8 * MINUTE))))


def page_cache(ms: int, sections: Sections) -> None:
    """Free memory goes, available memory does not."""
    used = int(16 * GB * 0.5)
    grown = min(7 * GB, GB * ms // HOUR)
    free = 16 * GB - used - grown
    sections["memory"] = make(
        "Memory", total=16 * GB, available=16 * GB - used, used=used, free=free, percent=50.0, cached=grown
    )


def deploy(_: int, sections: Sections) -> None:
    sections["cpu"] = cpu(min(100, sections["cpu"].percent * 1.5))
    sections["memory"] = memory(62)
    sections["processes"] = processes(
        [
            *(p for p in sections["processes"].top if p.name != "daemon-0"),
            process("daemon-0", 900, T0 + 2 * DAY, GB // 2),
        ]
    )


def seldom_listed(ms: int, sections: Sections) -> None:
    """One that is among the first by CPU only, as it was before."""
    sections["processes"] = processes([p for p in sections["processes"].top if p.name != "daemon-8" or ms % HOUR < 30])


def cron_job(ms: int, sections: Sections) -> None:
    job = process("backup.sh", 9000 + ms // MINUTE, T0 + 2 * DAY + ms, GB)
    if ms % (5 * MINUTE) == 0:
        sections["processes"] = processes([*sections["processes"].top, job])
        sections["cpu"] = cpu(95)


def short_burst(ms: int, sections: Sections) -> None:
    if ms % HOUR == 0:
        sections["cpu"], sections["load"], sections["network"] = cpu(100), load(12), [card(3e7, 3e7)]


def pages_put_away(_: int, sections: Sections) -> None:
    sections["swap"] = swap(30, came=1e3, went=3e7, total=2 * GB)


def wrong_limits(_: int, sections: Sections) -> None:
    sections["temperatures"] = [make("Temperature", sensor="nvme", celsius=45.0, high=0.0, critical=65261.85)]


def busy_disk(_: int, sections: Sections) -> None:
    sections["disk_io"] = [make("DiskIo", device="sda", utilization_percent=100.0, await_ms=45.0)]


def unknown_packets(_: int, sections: Sections) -> None:
    sections["network"] = [card(4e3, 4e3, drops_per_s=2.0)]


def full_image(_: int, sections: Sections) -> None:
    sections["disks"].append(disk(100, mount="/snap/core", read_only=True))


def large_and_nearly_full(_: int, sections: Sections) -> None:
    sections["disks"].append(disk(95.5, mount="/archive", total=20_000 * GB))


def noisy_cpu(ms: int, sections: Sections) -> None:
    sections["cpu"] = cpu(random.Random(ms).uniform(10, 85))


@pytest.mark.parametrize(
    "change",
    [
        step_of_disk,
        step_of_memory,
        steps_of_disk,
        log_rotation,
        noise_on_disk,
        garbage_collector,
        slow_garbage_collector,
        warming_cache,
        page_cache,
        deploy,
        seldom_listed,
        cron_job,
        short_burst,
        pages_put_away,
        wrong_limits,
        busy_disk,
        full_image,
        large_and_nearly_full,
        noisy_cpu,
    ],
)
def test_is_quiet(change: Change) -> None:
    assert [e.summary for _, e in happens(change, 8 * 60, then=60)] == []


def test_few_lost_packets_are_no_burst() -> None:
    assert "network_errors" not in {e.finding for _, e in happens(unknown_packets, 60)}


@pytest.mark.parametrize("step", [5 * MINUTE, 45 * SECOND])
def test_ordinary_days_are_quiet_at_any_cadence(step: int) -> None:
    findings = Findings(max_hosts=1)
    assert opened(told(findings, ordinary(3, step=step, start=T0), 3 * DAY if step > MINUTE else DAY)) == []


def test_an_ordinary_hour_with_the_backup_is_quiet_at_one_a_second() -> None:
    findings = Findings(max_hosts=1)
    assert opened(told(findings, ordinary(4, step=SECOND, start=T0 + 110 * MINUTE), 150 * MINUTE)) == []


def test_a_day_of_silence_is_no_finding_and_neither_is_the_return() -> None:
    assert happens(lambda ms, sections: sections.clear(), 1440, then=120) == []
    findings = Findings(max_hosts=1)
    days = ordinary(5)
    assert opened(told(findings, days, 6 * HOUR)) == []
    later = ordinary(6, start=T0 + 30 * HOUR)
    assert opened(told(findings, later, 33 * HOUR)) == []


def test_a_restart_of_the_machine_is_no_crash() -> None:
    def rebooted(ms: int, sections: Sections) -> None:
        sections["system"] = make(
            "System", hostname="web-1", platform="", architecture="", boot_time=T0 + (2 * DAY if ms else 0)
        )
        if ms:
            sections["processes"] = processes([process("init", 1, T0 + 2 * DAY, GB // 100)] * 9)

    assert happens(rebooted, 60) == []


def test_a_file_system_that_is_emptied_every_night_is_known_after_the_first() -> None:
    def temporary(ms: int, sections: Sections) -> None:
        hour = ms % DAY / HOUR
        sections["disks"] = [disk(30 + (20 * hour if hour < 2 else 0))]

    events = happens(temporary, 3 * 1440)

    assert {e.finding for _, e in events} == {"disk_filling"}
    assert max(minute for minute, _ in events) < 3 * 60


def test_a_sample_without_sections_says_nothing() -> None:
    findings = Findings(max_hosts=1)
    for n in range(100):
        assert findings.observe(sample(T0 + n * SECOND)) == []


@pytest.mark.parametrize("seed", [0, 1])
def test_an_idle_machine_with_bursts_and_heavy_tails_is_quiet_at_one_a_second(seed: int) -> None:
    findings = Findings(max_hosts=1)
    events = []
    for second, reading in zip(range(9 * 3600), idle(seed), strict=False):
        received = reading["network.recv_bytes_per_s{eth0}"]
        sections: Sections = {
            "cpu": cpu(reading["cpu.percent"]),
            "load": load(reading["cpu.load1"]),
            "memory": memory(reading["memory.percent"]),
            "network": [card(received, 1e3, drops_per_s=reading["network.drops_per_s{eth0}"])],
        }
        if second % 15 == 0:
            sections["disks"] = [disk(reading["disk.percent{/}"])]
        events += findings.observe(sample(T0 + second * SECOND, **sections))
    assert [e.summary for e in events] == []
