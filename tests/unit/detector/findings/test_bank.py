"""Many hosts: bounded, swept when silent, and none knows of another but in its group."""

from __future__ import annotations

from services.detector.findings.bank import Findings
from services.detector.findings.host import SILENT_MS
from tests.unit.detector.findings.days import MINUTE, SECOND, T0, card, cpu, disk, memory, sample, temperature


def full(findings: Findings, host: str, ts: int) -> list[str]:
    return [e.state for e in findings.observe(sample(ts, host, disks=[disk(99.9)]))]


def test_the_host_silent_longest_is_forgotten_first_and_its_findings_closed() -> None:
    findings = Findings(max_hosts=2)
    assert full(findings, "a", T0) == ["open"]
    findings.observe(sample(T0 + 1, "b"))
    findings.observe(sample(T0 + 2, "a"))
    findings.observe(sample(T0 + 3, "c"))
    assert len(findings.held("a")) == 1
    (closed,) = findings.observe(sample(T0 + 4, "d"))
    assert (closed.host_id, closed.state, closed.evidence["ended"]) == ("a", "close", "no data")
    assert findings.held("a") == ()


def test_a_host_that_is_silent_while_others_are_not_is_closed_once() -> None:
    findings = Findings(max_hosts=5)
    full(findings, "a", T0)
    findings.observe(sample(T0 + SILENT_MS, "b"))
    assert findings.sweep() == []
    findings.observe(sample(T0 + SILENT_MS + 1, "b"))
    (closed,) = findings.sweep()
    assert (closed.host_id, closed.ended_at, closed.evidence["ended"]) == ("a", T0, "no data")
    assert findings.sweep() == []
    assert findings.held("a") == ()


def test_what_is_still_wrong_after_the_silence_is_another_episode() -> None:
    findings = Findings(max_hosts=5)
    (first,) = findings.observe(sample(T0, "a", disks=[disk(99.9)]))
    findings.observe(sample(T0 + 2 * SILENT_MS, "b"))
    findings.sweep()
    (second,) = findings.observe(sample(T0 + 3 * SILENT_MS, "a", disks=[disk(99.9)]))
    assert second.state == "open"
    assert second.anomaly_id != first.anomaly_id
    assert second.started_at == T0 + 3 * SILENT_MS


def test_a_host_alone_is_closed_when_it_comes_back() -> None:
    findings = Findings(max_hosts=5)
    full(findings, "a", T0)
    assert findings.sweep() == []
    (closed,) = findings.observe(sample(T0 + 10 * SILENT_MS, "a", cpu=cpu(1)))
    assert (closed.state, closed.ended_at) == ("close", T0)


def test_a_section_that_is_not_sent_any_more_ends_its_findings() -> None:
    findings = Findings(max_hosts=1)
    for n in range(4):
        findings.observe(sample(T0 + n * 20 * SECOND, temperatures=[temperature(99, 85)]))
    assert [s.finding for s in findings.held("web-1")] == ["temperature"]
    events = []
    for n in range(2, 30):
        events += findings.observe(sample(T0 + n * MINUTE, cpu=cpu(1)))
    (closed,) = [e for e in events if e.state == "close"]
    assert closed.evidence["ended"] == "no data"


def test_held_says_what_is_open_and_nothing_of_strangers() -> None:
    findings = Findings(max_hosts=1)
    full(findings, "a", T0)
    (sighting,) = findings.held("a")
    assert (sighting.finding, sighting.labels) == ("disk_full", {"mountpoint": "/srv"})
    assert findings.held("b") == ()


def test_two_file_systems_are_two_episodes() -> None:
    findings = Findings(max_hosts=1)
    events = findings.observe(sample(T0, labels={"role": "db"}, disks=[disk(99, "/a"), disk(99, "/b"), disk(5, "/c")]))
    assert len({e.anomaly_id for e in events}) == 2
    assert [e.labels for e in events] == [{"role": "db", "mountpoint": "/a"}, {"role": "db", "mountpoint": "/b"}]
    gone = findings.observe(sample(T0 + SECOND, disks=[disk(99, "/a")]))
    assert [(e.state, e.labels["mountpoint"]) for e in gone] == [("close", "/b")]


def test_the_same_beginning_is_the_same_anomaly() -> None:
    one, another = Findings(max_hosts=1), Findings(max_hosts=9)
    assert one.observe(sample(T0, disks=[disk(99)])) == another.observe(sample(T0, disks=[disk(99)]))


def test_a_clock_that_goes_back_a_year_is_late() -> None:
    findings = Findings(max_hosts=1)
    findings.observe(sample(T0, memory=memory(10)))
    assert findings.observe(sample(T0 - 365 * 86_400_000, memory=memory(99), disks=[disk(100)])) == []


def test_a_sensor_that_loses_its_limit_while_hot_ends_calmly() -> None:
    findings = Findings(max_hosts=1)
    events = []
    for n in range(20):
        limit = 85.0 if n < 5 else None
        events += findings.observe(sample(T0 + n * 20 * SECOND, temperatures=[temperature(90, limit)]))
    assert [e.state for e in events if e.state != "update"] == ["open", "close"]


def test_an_unmounted_file_system_and_a_vanished_interface_end_what_was_said_of_them() -> None:
    findings = Findings(max_hosts=1)
    lossy = [card(1e6, 1e6, drops_per_s=500.0)]
    for n in range(8):
        findings.observe(sample(T0 + n * 20 * SECOND, disks=[disk(99)], network=lossy))
    assert {s.finding for s in findings.held("web-1")} == {"disk_full", "network_errors"}
    events = findings.observe(sample(T0 + 170 * SECOND, disks=[], network=[]))
    assert [e.state for e in events] == ["close", "close"]
    assert findings.held("web-1") == ()


def test_what_a_process_is_called_and_where_a_disk_is_mounted_may_be_anything() -> None:
    findings = Findings(max_hosts=1)
    mount = "/" + "ä'\"\n\x00{}%s" * 300
    (event,) = findings.observe(sample(T0, disks=[disk(99, mount)]))
    assert len(event.summary) <= 1024
    again = Findings(max_hosts=1)
    again.restore("web-1", findings.state("web-1"))
    assert again.held("web-1") == findings.held("web-1")
