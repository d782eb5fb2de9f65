"""Whatever a sample may hold within its bounds, nobody dies, and the state can be written and read."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.detector.findings.bank import Findings
from tests.unit.detector.findings.days import DAY, make, process, sample

HUGE = 2**63 - 1
rate = st.sampled_from([0.0, 1e-300, 0.5, 90.0, 1e6, 1e15])
percent = st.sampled_from([0.0, 1e-300, 50.0, 90.0, 97.0, 100.0])
size = st.sampled_from([0, 1, 10**9, 2 * 10**9, HUGE])
name = st.sampled_from(["", "a", "eth0", "lo", "/srv", "ü\x00\n" * 80])
celsius = st.sampled_from([-273.15, 0.0, 60.0, 99.0, 10_000.0])


def some(model: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(fields).map(lambda values: make(model, **values))


disks = some(
    "Disk",
    **dict.fromkeys(("device", "mountpoint", "fstype"), name),
    **dict.fromkeys(("total", "used", "free", "inodes_total", "inodes_used"), size),
    **dict.fromkeys(("percent", "inodes_percent"), percent),
)
interfaces = some(
    "NetworkInterface",
    interface=name,
    **dict.fromkeys(("bytes_sent", "bytes_recv", "packets_sent", "packets_recv"), size),
    **dict.fromkeys(
        ("recv_bytes_per_s", "sent_bytes_per_s", "recv_packets_per_s", "drops_per_s", "errors_per_s"), rate
    ),
)
tops = st.builds(process, name, st.integers(0, 3), st.sampled_from([0, 1, DAY, 2**40]), size.filter(bool), rate)
sections = {
    "cpu": some("Cpu", count=st.sampled_from([1, 65_535]), percent=percent),
    "load": some("Load", load1=rate, load5=rate, load15=rate),
    "memory": some("Memory", total=size, available=size, used=size, free=size, percent=percent),
    "swap": some("Swap", total=size, used=size, free=size, percent=percent, in_bytes_per_s=rate, out_bytes_per_s=rate),
    "disks": st.lists(disks, max_size=10),
    "disk_io": st.lists(some("DiskIo", device=name, await_ms=rate, utilization_percent=percent), max_size=10),
    "network": st.lists(interfaces, max_size=6),
    "pressure": some("Pressure", memory_full_avg10=percent, cpu_some_avg60=percent, io_full_avg60=percent),
    "processes": some("Processes", count=size, top=st.lists(tops, max_size=12)),
    "temperatures": st.lists(
        some("Temperature", sensor=name, celsius=celsius, high=st.none() | celsius, critical=st.none() | celsius),
        max_size=10,
    ),
}
steps = st.sampled_from([-DAY, 0, 1, 1000, 15_000, 60_000, 300_000, DAY, 100 * DAY])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(steps, st.fixed_dictionaries({}, optional=sections)), min_size=3, max_size=14))
def test_any_sample_is_borne(story: list[tuple[int, dict[str, Any]]]) -> None:
    findings = Findings(max_hosts=1)
    ts = 0
    open_now: set[str] = set()
    for step, there in story:
        ts = max(0, ts + step)
        for event in findings.observe(sample(ts, **there)):
            assert (event.anomaly_id in open_now) == (event.state != "open")
            (open_now.discard if event.state == "close" else open_now.add)(event.anomaly_id)
            assert len(event.summary) <= 1024
        findings.restore("web-1", findings.state("web-1"))
    assert len(findings.held("web-1")) == len(open_now)
