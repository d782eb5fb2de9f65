from __future__ import annotations

import pytest

from services.detector.wording import finding, summary
from shared.schemas.anomaly import Contribution


def contribution(
    metric: str, value: float, low: float = 0, high: float = 1, share: float = 1, **labels: str
) -> Contribution:
    return Contribution(metric=metric, labels=labels, share=share, value=value, expected_low=low, expected_high=high)


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [
        ("cpu.percent", 99, "cpu_overload"),
        ("cpu.percent", 50, "unusual"),
        ("memory.percent", 93, "memory_pressure"),
        ("disk.percent", 97, "disk_full"),
        ("cpu.iowait", 40, "disk_slow"),
        ("network.recv_bytes_per_s", 1e9, "unusual"),
    ],
)
def test_the_finding_names_what_is_wrong(metric: str, value: float, expected: str) -> None:
    assert finding([contribution(metric, value)]) == expected


def test_a_bystander_does_not_name_it() -> None:
    assert finding([contribution("gpu.load", 20), contribution("cpu.percent", 99, share=0.05)]) == "unusual"
    assert finding([]) == "unusual"


def test_the_sentence_says_where_what_and_what_is_usual() -> None:
    text = summary(
        "web-1",
        [
            contribution("cpu.percent", 99.84, 0, 27.13),
            contribution("network.recv_bytes_per_s", 123_456_789, 1000, 2_500_000, interface="eth0"),
            contribution("processes.count", 1234.0, 90, 110),
            contribution("cpu.load1", 9.5),
        ],
    )
    assert text == (
        "CPU overloaded on web-1: cpu.percent 99.8 % (usually 0 to 27.1 %), "
        "network.recv_bytes_per_s eth0 123 MB/s (usually 1 kB/s to 2.5 MB/s), "
        "processes.count 1234 (usually 90 to 110)"
    )


def test_it_is_never_too_long_for_the_wire() -> None:
    assert len(summary("h" * 256, [contribution("disk.percent", 1, mountpoint="/x" * 2000)], "recovered")) <= 1024
