"""Sections temperatures and gpus."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from services.agent.collectors.gpus import LOOK_AGAIN_AFTER, GpusCollector, NotAvailable, device
from services.agent.collectors.temperatures import TemperaturesCollector, parse_millidegrees


@pytest.mark.parametrize(
    ("content", "celsius"),
    [("45250", 45.2), ("-5000", -5.0), ("0", 0.0), ("", None), ("N/A", None), ("99999999", None), ("-999999", None)],
)
def test_millidegrees(content: str, celsius: float | None) -> None:
    assert parse_millidegrees(content) == celsius


def _write(directory: Path, **files: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).write_text(content + "\n")


def test_hardware_monitors(tmp_path: Path) -> None:
    _write(
        tmp_path / "class/hwmon/hwmon0",
        name="coretemp",
        temp1_input="45000",
        temp1_label="Package id 0",
        temp1_max="80000",
        temp1_crit="100000",
        temp2_input="nonsense",
    )
    _write(tmp_path / "class/hwmon/hwmon1", name="nvme", temp1_input="38850", temp1_crit="0")
    assert TemperaturesCollector(str(tmp_path)).collect(1.0) == [
        {"sensor": "coretemp", "label": "Package id 0", "celsius": 45.0, "high": 80.0, "critical": 100.0},
        {"sensor": "nvme", "celsius": 38.9},
    ]


def test_thermal_zones_where_there_are_no_monitors(tmp_path: Path) -> None:
    _write(
        tmp_path / "class/thermal/thermal_zone0",
        type="cpu-thermal",
        temp="51000",
        trip_point_0_type="critical",
        trip_point_0_temp="110000",
    )
    assert TemperaturesCollector(str(tmp_path)).collect(1.0) == [
        {"sensor": "cpu-thermal", "celsius": 51.0, "critical": 110.0}
    ]


def test_a_machine_without_sensors(tmp_path: Path) -> None:
    assert TemperaturesCollector(str(tmp_path)).collect(1.0) == []


CARD = device(0, "A100", 55.0, 40_960.0, 10_240.0, 61)


def _missing() -> Any:
    raise NotAvailable("library_missing")


def _none() -> Any:
    raise NotAvailable("no_device")


def test_a_card() -> None:
    assert CARD == {
        "id": 0,
        "name": "A100",
        "load": 55.0,
        "memory_total": 40960.0,
        "memory_used": 10240.0,
        "memory_util": 25.0,
        "temperature": 61.0,
    }


def test_a_card_that_does_not_know_everything() -> None:
    odd = device(1, "Quadro", math.nan, math.nan, math.nan, math.nan)
    assert odd == {"id": 1, "name": "Quadro", "load": 0.0, "memory_total": 0.0, "memory_used": 0.0, "memory_util": 0.0}


@pytest.mark.parametrize(
    ("ways", "answer"),
    [
        ((lambda: [CARD], _missing), {"devices": [CARD]}),
        ((_missing, lambda: [CARD]), {"devices": [CARD]}),
        ((_none, lambda: [CARD]), {"devices": [CARD]}),
        ((_missing, _missing), {"devices": [], "reason": "library_missing"}),
        ((_none, _missing), {"devices": [], "reason": "no_device"}),
        ((list, list), {"devices": [], "reason": "no_device"}),
    ],
)
def test_one_library_after_the_other(ways: Any, answer: dict[str, Any]) -> None:
    assert GpusCollector(ways).collect(1.0) == answer


def test_a_host_without_cards_is_looked_at_again_but_seldom() -> None:
    answers: list[list[dict[str, Any]]] = []
    looks = []

    def ask() -> list[dict[str, Any]]:
        looks.append(1)
        return answers.pop() if answers else []

    collector = GpusCollector((ask,))
    for second in range(30):
        collector.collect(float(second))
    assert len(looks) == 1
    answers.append([CARD])
    assert collector.collect(LOOK_AGAIN_AFTER + 1)["devices"] == [CARD]
    collector.collect(LOOK_AGAIN_AFTER + 2)
    assert len(looks) == 3, "a card that is there is read every time"
