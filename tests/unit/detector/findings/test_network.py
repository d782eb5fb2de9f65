"""Traffic that is more, or less, than it ever was at this hour: what is said of it, how loudly, and how often."""

from __future__ import annotations

import random

from services.detector.findings.bank import Findings
from tests.unit.detector.findings.days import (
    DAY,
    HOUR,
    MINUTE,
    T0,
    Sections,
    after_two_days,
    card,
    happens,
    load,
    opened,
    sample,
)


def times_of_received(factor: float, sections: Sections) -> None:
    now = sections["network"][0]
    sections["network"] = [card(now.recv_bytes_per_s * factor, now.sent_bytes_per_s)]


def test_on_a_host_with_steady_traffic_a_small_spike_is_found_and_wakes_nobody() -> None:
    events = happens(lambda _, sections: times_of_received(4, sections), 15, then=20, wait=30)

    assert [(e.state, e.finding, e.severity) for _, e in events if e.state != "update"] == [
        ("open", "network_spike", "info"),
        ("close", "network_spike", "info"),
    ]
    assert events[0][0] <= 3


def test_a_small_spike_that_grows_large_is_a_warning_to_its_end() -> None:
    def grows(ms: int, sections: Sections) -> None:
        times_of_received(20 if 5 * MINUTE <= ms < 8 * MINUTE else 4, sections)

    events = [e for _, e in happens(grows, 15, then=20, wait=30)]

    assert events[0].severity == "info"
    assert events[-1].severity == "warning"
    assert opened(events) == ["network_spike"]


def test_the_first_minutes_of_a_spike_do_not_become_what_is_usual() -> None:
    def swells(ms: int, sections: Sections) -> None:
        times_of_received(2.2 if ms < 3 * MINUTE else 3.2, sections)

    events = happens(swells, 15, then=20, wait=30)

    assert opened(e for _, e in events) == ["network_spike"]
    assert 3 < events[0][0] <= 8


def test_a_drop_to_a_quarter_of_the_least_is_found() -> None:
    def less(_: int, sections: Sections) -> None:
        now = sections["network"][0]
        sections["network"] = [card(now.recv_bytes_per_s / 6, now.sent_bytes_per_s / 6)]

    events = happens(less, 15, then=20, wait=30)

    assert opened(e for _, e in events) == ["network_drop"]
    assert events[0][0] <= 3


def test_a_host_whose_traffic_comes_in_bursts_may_burst_a_little_more() -> None:
    findings = Findings(max_hosts=1)
    rng = random.Random(7)
    said = []
    for minute in range(4 * 1440):
        busy = minute % 60 < 6
        rate = 3e6 * rng.uniform(0.7, 1.0) if busy else 30e3 * rng.uniform(0.8, 1.2)
        if minute >= 3 * 1440 and busy:
            rate *= 1.8
        said += findings.observe(sample(T0 + minute * MINUTE, network=[card(rate, 1e3)]))
    assert [e.summary for e in said if e.finding == "network_spike"] == []


def test_a_new_job_every_night_is_told_until_it_is_known() -> None:
    def new_job(ms: int, sections: Sections) -> None:
        if 4 * HOUR <= ms % DAY < 4 * HOUR + 30 * MINUTE:
            times_of_received(40, sections)

        if 8 * HOUR <= ms % DAY < 8 * HOUR + 30 * MINUTE:
            sections["load"] = load(20)

    events = happens(new_job, 7 * 1440)

    for finding in ("network_spike", "load_spike"):
        nights = [int(minute // 1440) for minute, e in events if e.state == "open" and e.finding == finding]
        assert nights[:2] == [0, 1]
        assert max(nights) <= 3


def test_a_spike_is_told_with_the_minute_and_not_with_the_second() -> None:
    """A second without a packet is in every minute of traffic."""
    findings, _ = after_two_days()
    said = []
    for second in range(300):
        received = 0.0 if second % 60 < 3 else 1e7
        said += findings.observe(sample(T0 + 2 * DAY + second * 1000, network=[card(received, 1e6)]))
    assert said[0].finding == "network_spike"
    assert said[0].evidence["received"] == "9.5 MB/s"
    assert said[0].contributions[0].value == 9.5e6
