"""A host against its group."""

from __future__ import annotations

import random
from collections.abc import Callable

from services.detector.findings.bank import Findings
from shared.schemas.anomaly import Anomaly
from tests.unit.detector.findings.days import HOUR, MINUTE, T0, cpu, load, memory, opened, sample

Percent = Callable[[int, int], float]


def fleet(hosts: int, minutes: int, percent: Percent, labels: Callable[[int], dict[str, str]]) -> list[Anomaly]:
    """``percent`` of host number and minute."""
    findings = Findings(max_hosts=100)
    rng = random.Random(0)
    out = []
    for minute in range(minutes):
        for n in range(hosts):
            busy = min(100.0, max(0.0, percent(n, minute) + rng.gauss(0, 2)))
            ts = T0 + minute * MINUTE + n
            out += findings.observe(
                sample(ts, f"h{n}", labels(n), cpu=cpu(busy), load=load(busy / 50), memory=memory(40))
            )
    return out


def nobody(_: int) -> dict[str, str]:
    return {}


def role(n: int) -> dict[str, str]:
    return {"role": "web" if n < 5 else "db"}


def day(minute: int) -> float:
    return 20 + 15 * (minute % 240) / 240


def test_one_that_leaves_its_group_is_found_in_ten_minutes_named_and_ends() -> None:
    events = fleet(5, 240, lambda n, minute: day(minute) + (45 if n == 3 and 120 <= minute < 180 else 0), nobody)

    assert {(e.host, e.finding) for e in events} == {("h3", "host_outlier")}
    opening, closing = events[0], events[-1]
    assert (opening.ts - T0) / MINUTE <= 130
    assert opening.summary.startswith("h3 is not like all hosts: cpu.percent ")
    assert opening.evidence["hosts"] == "5"
    assert closing.state == "close"
    assert (closing.ts - T0) / MINUTE <= 190


def test_all_together_are_no_outliers() -> None:
    assert fleet(6, 300, lambda n, minute: day(minute) + (45 if minute > 120 else 0), nobody) == []


def test_one_that_was_always_different_is_none_and_neither_is_its_coming_closer() -> None:
    assert fleet(5, 300, lambda n, minute: 80 if n == 2 and minute < 200 else 20, nobody) == []


def test_groups_are_apart() -> None:
    assert fleet(10, 300, lambda n, minute: 15 if n < 5 or minute < 120 else 75, role) == []
    events = fleet(10, 300, lambda n, minute: 75 if n == 9 and minute > 120 else 15, role)
    assert {e.host for e in events} == {"h9"}
    assert "role=db" in events[0].summary


def test_three_hosts_are_no_group() -> None:
    assert fleet(3, 200, lambda n, minute: 80 if n == 0 and minute % 60 < 30 else 10, nobody) == []


def test_hosts_that_went_silent_do_not_count() -> None:
    findings = Findings(max_hosts=10)
    events = []
    for minute in range(300):
        for n in range(5):
            if n < 3 or minute < 100:
                percent = 50.0 if n == 0 and minute > 130 else 10.0
                events += findings.observe(sample(T0 + minute * MINUTE + n, f"h{n}", cpu=cpu(percent)))
    assert opened(events) == []


def test_one_that_stays_away_becomes_normal() -> None:
    hours = 40
    findings = Findings(max_hosts=10)
    events = []
    for step in range(hours * 12):
        for n in range(4):
            percent = 60.0 if n == 0 and step > 24 else 10.0 + n
            events += findings.observe(sample(T0 + step * 5 * MINUTE + n, f"h{n}", cpu=cpu(percent)))
    assert opened(events) == ["host_outlier"]
    assert events[-1].state == "close"
    assert events[-1].evidence["ended"] == "became normal"
    assert events[-1].ts - T0 < hours * HOUR
