"""Each finding on a host whose days are known: it opens in time, is the only one, has its evidence, and ends."""

from __future__ import annotations

import pytest

from tests.unit.detector.findings.days import (
    DAY,
    GB,
    HOUR,
    MINUTE,
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
    one,
    process,
    processes,
    swap,
    temperature,
    times,
)


def overload(_: int, sections: Sections) -> None:
    sections["cpu"] = cpu(99)
    sections["processes"] = processes([process("stress", 7, T0, busy=390), process("idle", 8, T0, busy=0)])


def spike_of_load(_: int, sections: Sections) -> None:
    sections["load"] = load(14)


def memory_stalls(_: int, sections: Sections) -> None:
    sections["pressure"] = make("Pressure", memory_full_avg10=30.0)


def swapping(_: int, sections: Sections) -> None:
    sections["swap"] = swap(40, came=3e6, went=4e6, total=2 * GB)


def slow_disk(_: int, sections: Sections) -> None:
    sections["disk_io"] = [make("DiskIo", device="sda", utilization_percent=99.0, await_ms=400.0)]


def lost_packets(_: int, sections: Sections) -> None:
    sections["network"] = [card(8e5, 2e6, drops_per_s=200.0)]


def spike_of_traffic(_: int, sections: Sections) -> None:
    sections["network"] = [card(1e7, 2e6)]


def no_traffic(_: int, sections: Sections) -> None:
    sections["network"] = [card(1e3, 1e3)]


def flapping(ms: int, sections: Sections) -> None:
    if ms // (2 * MINUTE) % 2:
        sections["cpu"] = cpu(85)


def hot(_: int, sections: Sections) -> None:
    sections["temperatures"] = [temperature(90, high=85, critical=100)]


def full(_: int, sections: Sections) -> None:
    sections["disks"] = [disk(99.5)]


def no_inodes(_: int, sections: Sections) -> None:
    sections["disks"] = [disk(60, inodes=96)]


def gone(_: int, sections: Sections) -> None:
    sections["processes"] = processes([p for p in sections["processes"].top if p.name != "daemon-0"])


def crashing(ms: int, sections: Sections) -> None:
    others = [p for p in sections["processes"].top if p.name != "daemon-0"]
    again = process("daemon-0", 5000 + ms // MINUTE, T0 + 2 * DAY + ms - 5000, rss=GB // 2)
    sections["processes"] = processes([*others, again])


@pytest.mark.parametrize(
    ("change", "finding", "within", "ends_within", "evidence", "summary"),
    [
        (overload, "cpu_overload", 1, 2, {"processes": "stress (7) 390 %"}, "CPU overloaded on web-1: 99 % busy"),
        (spike_of_load, "load_spike", 1, 3, {"cores": "4"}, "Load spike on web-1: 14 tasks want to run on 4 cores"),
        (memory_stalls, "pressure_storm", 1, 2, {"pressure.memory_full_avg10": "30 %"}, "Memory pressure on web-1"),
        (swapping, "swap_storm", 1, 3, {"swap": "40 %"}, "Swap storm on web-1"),
        (slow_disk, "disk_slow", 4, 4, {"await": "400 ms"}, "A disk is slow on web-1: sda busy 99 % of the time"),
        (lost_packets, "network_errors", 1, 3, {"drops": "200/s"}, "Network packets are lost on web-1: eth0 200/s"),
        (spike_of_traffic, "network_spike", 3, 8, {"received": "10 MB/s"}, "Network traffic spike on web-1: eth0"),
        (no_traffic, "network_drop", 3, 8, {"sent": "1 kB/s"}, "Network traffic is gone on web-1: eth0"),
        (flapping, "flapping", 20, 15, {"metric": "cpu.percent"}, "Flapping on web-1: cpu.percent went between"),
        (hot, "temperature", 1, 2, {"opens at": "85 °C"}, "Too hot on web-1: coretemp/Package 90 °C (limit 85 °C)"),
        (full, "disk_full", 0, 1, {"left": "500 MB"}, "A disk is full on web-1: /srv 99.5 %, 500 MB left"),
        (no_inodes, "inode_exhaustion", 0, 1, {"used": "96 %"}, "Inodes are running out on web-1: /srv 96 % in use"),
        (gone, "process_crash", 2, 1, {"pid": "100"}, "A process is gone on web-1: daemon-0 (100) ended after 32 days"),
        (crashing, "crash_loop", 4, 11, {}, "A process is in a crash loop on web-1: daemon-0 was started anew 4 times"),
    ],
)
def test_opens_in_time_with_evidence_and_ends(
    change: Change, finding: str, within: float, ends_within: float, evidence: dict[str, str], summary: str
) -> None:
    lasts = 25
    events = happens(change, lasts, then=20, wait=30)

    assert {e.finding for _, e in events} == {finding}
    assert [e.state for _, e in events if e.state != "update"] == ["open", "close"]
    assert times(events)[finding] <= within
    assert times(events, "close")[finding] <= lasts + ends_within
    opening, closing = events[0][1], events[-1][1]
    assert opening.summary.startswith(summary)
    assert evidence.items() <= opening.evidence.items()
    assert opening.ended_at is None
    assert 1 < opening.score == opening.peak_score
    assert closing.anomaly_id == opening.anomaly_id
    assert closing.started_at == opening.started_at <= opening.ts
    assert closing.ended_at == closing.ts
    assert closing.summary.startswith(f"Over ({closing.evidence['ended']}): ")


def leak(ms: int, sections: Sections) -> None:
    sections["memory"] = memory(50 + 45 * ms / (10 * HOUR))


def test_a_leak_of_ten_hours_is_found_in_four_and_forecast() -> None:
    events = happens(leak, 600, then=30)

    assert times(events)["memory_leak"] <= 240
    assert {e.finding for _, e in events} == {"memory_leak"}
    opening = events[0][1]
    assert opening.evidence["none left in"] in ("10 h", "11 h", "12 h")
    assert opening.contributions[0].metric == "memory.percent"
    assert times(events, "close")["memory_leak"] <= 606


def test_a_leak_that_becomes_urgent_says_so_at_once() -> None:
    events = happens(lambda ms, s: s.update(memory=memory(min(98, 50 + 48 * ms / (2.5 * HOUR)))), 150)

    critical = next(e for _, e in events if e.severity == "critical")
    assert critical.state == "update"
    assert critical.anomaly_id == events[0][1].anomaly_id


def test_a_process_that_leaks_is_named() -> None:
    def leaks(ms: int, sections: Sections) -> None:
        grown = int(8 * GB * ms / (2 * HOUR))
        sections["processes"] = processes([*sections["processes"].top, process("leaky", 77, T0, rss=GB + grown)])
        sections["memory"] = memory(35 + grown / (16 * GB) * 100)

    events = happens(leaks, 120)

    assert {e.finding for _, e in events} == {"memory_leak"}
    assert "leaky (77)" in events[0][1].summary
    assert times(events)["memory_leak"] <= 60


def test_a_leaking_process_that_ends_is_no_leak_of_its_host() -> None:
    def leaks_and_ends(ms: int, sections: Sections) -> None:
        grown = int(8 * GB * ms / HOUR) if ms < 20 * MINUTE else 0
        if grown:
            sections["processes"] = processes([*sections["processes"].top, process("leaky", 77, T0, rss=GB + grown)])
        given_back_by_others = 8 * GB * 3 // 60
        sections["memory"] = memory(60 + max(0, grown - given_back_by_others) / (16 * GB) * 100)

    events = happens(leaks_and_ends, 40)
    assert [(e.state, e.labels.get("process")) for _, e in events if e.state != "update"] == [
        ("open", "leaky"),
        ("close", "leaky"),
    ]


def test_a_disk_that_fills_in_hours_is_found_in_the_first_with_an_interval_around_the_truth() -> None:
    def fills(ms: int, sections: Sections) -> None:
        sections["disks"] = [disk(min(100.0, 65 + 35 * ms / (6 * HOUR)))]

    events = happens(fills, 400)

    assert times(events)["disk_filling"] <= 60
    opening = events[0][1]
    assert opening.summary.startswith("A disk is filling up on web-1: /srv 69")
    assert opening.labels == {"mountpoint": "/srv"}
    assert opening.severity == "warning"
    assert opening.evidence["full in"] == "5 h"
    assert [e.severity for _, e in events if e.finding == "disk_filling"][-1] == "critical"
    assert "disk_full" in times(events)
    assert next(e for _, e in events if e.state == "close").evidence["ended"] == "it is full"


def test_inodes_that_run_out_are_forecast() -> None:
    def fills(ms: int, sections: Sections) -> None:
        sections["disks"] = [disk(60, inodes=20 + 80 * ms / (6 * HOUR))]

    events = happens(fills, 60)

    assert times(events)["inode_exhaustion"] <= 60
    assert "none left in" in events[0][1].evidence


@pytest.mark.parametrize(("change", "finding"), [(full, "disk_full"), (no_inodes, "inode_exhaustion")])
def test_a_file_system_that_is_unmounted_did_not_recover(change: Change, finding: str) -> None:
    def unmounted(ms: int, sections: Sections) -> None:
        change(ms, sections)
        if ms >= 5 * MINUTE:
            sections["disks"] = [disk(20, mount="/")]

    closing = one([e for _, e in happens(unmounted, 15)], "close", finding)
    assert closing.evidence["ended"] == "it is gone"


def test_load_and_heat_become_critical() -> None:
    events = happens(lambda ms, s: s.update(load=load(30), temperatures=[temperature(99, high=85, critical=100)]), 5)

    assert {(e.finding, e.severity) for _, e in events} == {("load_spike", "critical"), ("temperature", "critical")}


def test_an_overload_with_a_queue_becomes_critical_after_five_minutes() -> None:
    events = happens(lambda ms, s: s.update(cpu=cpu(99), load=load(13)), 10)

    changed = [(minute, e) for minute, e in events if e.finding == "cpu_overload" and e.severity == "critical"]
    assert 4 <= changed[0][0] <= 6


def test_a_sensor_without_limits_is_compared_with_itself() -> None:
    def bare(ms: int, sections: Sections) -> None:
        sections["temperatures"] = [make("Temperature", sensor="acpi", celsius=50.0 if ms < 1500 * MINUTE else 80.0)]

    events = happens(bare, 1510)

    assert {e.finding for _, e in events} == {"temperature"}
    assert 1500 <= times(events)["temperature"] <= 1502
