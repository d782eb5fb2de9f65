"""A host's state in the middle of anything: what is said afterwards is the same, to the bit."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.detector.findings.bank import VERSION, WHAT, Findings
from shared.schemas.anomaly import Anomaly
from tests.unit.detector.findings.days import (
    DAY,
    GB,
    HOUR,
    MINUTE,
    T0,
    Sections,
    after_two_days,
    card,
    cpu,
    disk,
    load,
    memory,
    ordinary,
    process,
    processes,
    sample,
    swap,
    temperature,
    told,
)


def everything(ts: int, sections: Sections) -> None:
    """All that may go wrong at once, for two hours."""
    ms = ts - 2 * DAY
    if not 0 <= ms < 2 * HOUR:
        return
    part = ms / (2 * HOUR)
    leaky = process("leaky", 77, T0, rss=int(GB + 6 * GB * part))
    sections |= {
        "cpu": cpu(99 if ms // (5 * MINUTE) % 2 else 10),
        "load": load(40),
        "memory": memory(50 + 45 * part),
        "swap": swap(30, 5e6, 5e6, total=2 * GB),
        "disks": [disk(60 + 40 * part, inodes=20 + 79 * part)],
        "network": [card(1e3, 3e7, drops_per_s=900.0)],
        "processes": processes([leaky, process("daemon-0", ms // MINUTE + 2, T0 + ms, rss=GB // 2)]),
        "temperatures": [temperature(99, 85, 100)],
    }


def run(cut_ms: int | None) -> tuple[list[Anomaly], bytes]:
    findings, days = after_two_days()
    out: list[Anomaly] = []
    for ts, sections in days:
        if ts - T0 >= 2 * DAY + 3 * HOUR + 30 * MINUTE:
            break
        if cut_ms is not None and ts - T0 - 2 * DAY >= cut_ms:
            state = findings.state("web-1")
            findings, cut_ms = Findings(max_hosts=3), None
            findings.restore("web-1", state)
        everything(ts - T0, sections)
        out += findings.observe(sample(ts, **sections))
    return out, findings.state("web-1")


WHOLE = run(None)


def test_there_is_much_to_say() -> None:
    assert {e.finding for e in WHOLE[0]} >= {"load_spike", "memory_leak", "swap_storm", "disk_filling", "temperature"}
    assert {e.finding for e in WHOLE[0]} >= {"inode_exhaustion", "network_spike", "network_errors", "crash_loop"}


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 3 * HOUR))
def test_goes_on_after_restore_as_if_nothing_had_been(cut_ms: int) -> None:
    assert run(cut_ms) == WHOLE


def test_every_episode_is_opened_once_and_closed_once() -> None:
    for anomaly_id in {e.anomaly_id for e in WHOLE[0]}:
        states = [e.state for e in WHOLE[0] if e.anomaly_id == anomaly_id]
        assert states[0] == "open"
        assert states[-1] == "close"
        assert set(states[1:-1]) <= {"update"}
    assert len({e.event_id for e in WHOLE[0]}) == len(WHOLE[0])


def test_updates_come_every_thirty_seconds_at_most_unless_severity_changes() -> None:
    last: dict[str, Anomaly] = {}
    for event in WHOLE[0]:
        before = last.get(event.anomaly_id)
        if before and event.state == "update":
            assert event.ts - before.ts >= 30_000 or event.severity != before.severity
        last[event.anomaly_id] = event


def test_evidence_is_short() -> None:
    for event in WHOLE[0]:
        assert len(event.evidence) <= 13
        assert all(len(v) <= 200 for v in event.evidence.values())


def test_state_is_small() -> None:
    assert len(WHOLE[1]) < 40_000


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=60))
def test_garbage_is_refused_and_changes_nothing(data: bytes) -> None:
    findings, _ = after_two_days()
    before = findings.state("web-1")
    with pytest.raises(ValueError):
        findings.restore("web-1", data)
    assert findings.state("web-1") == before


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_damaged_state_is_refused(where: int, by: int) -> None:
    findings, _ = after_two_days()
    data = bytearray(findings.state("web-1"))
    data[where % len(data)] ^= by
    with pytest.raises(ValueError):
        Findings(max_hosts=1).restore("web-1", bytes(data))


def test_another_version_another_host_and_half_a_state_are_refused() -> None:
    findings, _ = after_two_days()
    state = findings.state("web-1")
    what, version, digest, host = msgspec.msgpack.decode(state)
    assert (what, version) == (WHAT, VERSION)
    empty = Findings(max_hosts=1)
    for bad in (
        msgspec.msgpack.encode([what, version + 1, digest, host]),
        msgspec.msgpack.encode(["another", version, digest, host]),
        state[: len(state) // 2],
        state + b"\x00",
    ):
        with pytest.raises(ValueError):
            empty.restore("web-1", bad)
    with pytest.raises(ValueError, match="not of"):
        empty.restore("web-2", state)
    assert empty.held("web-1") == ()


def test_late_and_repeated_events_change_nothing() -> None:
    findings, days = after_two_days()
    told(findings, days, 2 * DAY + HOUR, everything)
    before = findings.state("web-1")
    for late in (0, 1, MINUTE, DAY):
        assert findings.observe(sample(T0 + 2 * DAY + HOUR - late, cpu=cpu(5), disks=[disk(1)])) == []
    assert findings.state("web-1") == before


def test_sections_may_come_and_go_in_any_way() -> None:
    @settings(max_examples=15, deadline=None)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        findings = Findings(max_hosts=1)
        open_ids: set[str] = set()
        for n, (ts, sections) in enumerate(ordinary(7, step=15_000)):
            if n > 60:
                break
            everything(ts - T0 + 2 * DAY, sections)
            there = data.draw(st.sets(st.sampled_from(sorted(sections))))
            at = ts + data.draw(st.sampled_from([0, 0, 0, -40_000, DAY]))
            for event in findings.observe(sample(at, **{k: v for k, v in sections.items() if k in there})):
                assert (event.anomaly_id in open_ids) == (event.state != "open")
                assert event.started_at <= event.ts
                (open_ids.discard if event.state == "close" else open_ids.add)(event.anomaly_id)

    check()
