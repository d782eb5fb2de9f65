"""What no host should send, and some do: the whole detector degrades, explains and never dies."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from services.detector.bank import LATE_RUN
from services.detector.detection import Detection
from services.detector.feedback import Opinions
from services.detector.models.host import MAX_METRICS
from shared.models.channels import Channels
from shared.runtime.clock import ManualClock
from shared.runtime.settings import DetectorSettings
from shared.schemas.anomaly import Anomaly
from shared.schemas.codec import BadLine, Decoder
from shared.schemas.sample import HostSample
from tests.support.samples import T0, host_sample

DECODER = Decoder(HostSample)
MINUTE, HOUR, DAY = 60, 3600, 86_400
SECTIONS = ("system", "load", "memory", "swap", "disks", "disk_io", "network", "pressure", "processes", "gpus")
ONLY_CPU: dict[str, Any] = dict.fromkeys((*SECTIONS, "temperatures", "agent"))


class Watched:
    """A detector, and everything it said of the hosts it was shown."""

    def __init__(self, detection: Detection | None = None) -> None:
        self.it = detection or Detection(DetectorSettings(), Opinions())
        self.said: list[Anomaly] = []
        self.scores: list[float] = []

    def see(self, seconds: Iterable[int], **sections: Any) -> Watched:
        for second in seconds:
            line = host_sample(**{"event_id": f"e{second}", "ts": T0 + second * 1000, **sections})
            judged = self.it.observe(DECODER.line(json.dumps(line).encode()))
            if judged is not None:
                verdict, anomalies = judged
                assert math.isfinite(verdict.score) and verdict.score >= 0
                assert verdict.score <= 1 or verdict.warming_up or verdict.contributions, "it says why"
                self.scores.append(verdict.score)
                self.said += anomalies
        return self

    def opened(self) -> list[str]:
        return [a.finding for a in self.said if a.state == "open"]


def every(seconds: int, start: int, end: int) -> range:
    return range(start, end, seconds)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1", "101", '"many"', "null"])
def test_what_is_no_percentage_is_refused_with_its_line_only(number: str) -> None:
    good = json.dumps(host_sample()).encode()
    bad = good.replace(b'"percent": 23.4', f'"percent": {number}'.encode())
    first, second = DECODER.lines(bad + b"\n" + good)
    assert isinstance(first, BadLine) and not isinstance(second, BadLine)


@pytest.mark.parametrize("value", [5e-324, 1e15])
def test_absurd_numbers_are_borne(value: float) -> None:
    card = host_sample()["network"][0]
    watched = Watched().see(every(15, 0, HOUR))
    watched.see(every(15, HOUR, HOUR + 600), network=[card | {"recv_bytes_per_s": value}], load={"load1": value})
    watched.see(every(15, HOUR + 600, 2 * HOUR))
    assert len(watched.scores) == 2 * HOUR // 15


def test_constants_say_nothing() -> None:
    assert Watched().see(every(MINUTE, 0, 8 * HOUR)).opened() == []


def test_one_metric_is_enough() -> None:
    watched = Watched().see(every(15, 0, HOUR), **ONLY_CPU, cpu={"percent": 5.0})
    assert watched.see(every(15, HOUR, HOUR + 300), **ONLY_CPU, cpu={"percent": 99.0}).opened() == ["cpu_overload"]


def test_two_thousand_metrics_are_looked_at_in_part() -> None:
    base = host_sample()
    many = {
        "disks": [base["disks"][0] | {"mountpoint": f"/srv/{n}"} for n in range(250)],
        "disk_io": [base["disk_io"][0] | {"device": f"sd{n}"} for n in range(250)],
        "network": [base["network"][0] | {"interface": f"eth{n}"} for n in range(250)],
        "temperatures": [base["temperatures"][0] | {"label": f"core {n}"} for n in range(250)],
    }
    watched = Watched().see(every(MINUTE, 0, HOUR), **many)
    other = {name: [e | {key: f"x{e[key]}"} for e in many[name]] for name, key in zip(many, KEYS, strict=True)}
    watched.see(every(MINUTE, HOUR, 2 * HOUR), **other)
    assert len(watched.it._bank._hosts["4f1d2c3b5a69788796a5b4c3d2e1f001"].bands) <= MAX_METRICS
    state = watched.it.state("4f1d2c3b5a69788796a5b4c3d2e1f001")
    assert state and len(state) < 1_000_000
    assert watched.opened() == []


KEYS = ("mountpoint", "device", "interface", "label")


def test_a_clock_that_goes_back_costs_a_minute() -> None:
    watched = Watched().see(range(600), cpu={"percent": 5.0})
    watched.see(range(-HOUR, LATE_RUN - HOUR))
    assert len(watched.scores) == 600, "it may be a straggler"
    watched.see(range(LATE_RUN - HOUR, 200 - HOUR), cpu={"percent": 5.0})
    watched.see(range(200 - HOUR, 400 - HOUR), cpu={"percent": 99.5})
    assert len(watched.scores) == 600 + 400 - LATE_RUN
    assert "cpu_overload" in watched.opened()


def test_a_gap_of_a_day_says_nothing() -> None:
    watched = Watched().see(every(MINUTE, 0, 4 * HOUR))
    assert watched.see(every(MINUTE, 4 * HOUR + DAY, 8 * HOUR + DAY)).opened() == []


def test_a_counter_reset_says_nothing() -> None:
    card, device = host_sample()["network"][0], host_sample()["disk_io"][0]
    reset = {
        "network": [{k: v if isinstance(v, str | bool) else 0 for k, v in card.items()}],
        "disk_io": [{k: v if isinstance(v, str | bool) else 0 for k, v in device.items()}],
    }
    watched = Watched().see(range(1200)).see(range(1200, 1201), **reset)
    assert watched.see(range(1201, 1800)).opened() == []


def test_a_host_that_is_another_is_called_by_its_new_name_and_settles() -> None:
    base = host_sample()
    other: dict[str, Any] = {
        "host": "db-7",
        "labels": {"role": "db"},
        "cpu": {"count": 64, "percent": 40.0},
        "memory": {"total": 256 << 30, "available": 32 << 30, "used": 224 << 30, "free": 1 << 30, "percent": 87.5},
        "disks": [base["disks"][0] | {"mountpoint": "/data", "percent": 80.0}],
        "network": [base["network"][0] | {"interface": "ens5", "recv_bytes_per_s": 2e8}],
    }
    watched = Watched().see(every(30, 0, 2 * HOUR)).see(every(30, 2 * HOUR, 6 * HOUR), **other)
    assert {a.host for a in watched.said} <= {"db-7"}
    open_now = {a.anomaly_id for a in watched.said} - {a.anomaly_id for a in watched.said if a.state == "close"}
    assert not open_now and max(watched.scores[-100:]) <= 1
    assert len(watched.opened()) <= 3, "and does not make much ado about it"


@pytest.mark.parametrize("poison", [b"", b"PK\x03\x04", b"\x80\x04cos\nsystem\n", b"{" * 100_000])
def test_a_poisoned_model_file_costs_its_word_only(tmp_path: Path, poison: bytes) -> None:
    home = tmp_path / "frozen" / "4f1d2c3b5a69788796a5b4c3d2e1f001" / "1"
    home.mkdir(parents=True)
    (home.parent / "current").write_text("1\n")
    for name in ("card.json", "model.npz"):
        (home / name).write_bytes(poison)
    channels = Channels(tmp_path, ManualClock())
    watched = Watched(Detection(DetectorSettings(), Opinions(), channels.score))
    watched.see(every(15, 0, HOUR), cpu={"percent": 5.0})
    assert watched.see(every(15, HOUR, HOUR + 300), cpu={"percent": 99.0}).opened() == ["cpu_overload"]


@pytest.mark.parametrize("poison", [b"", b"\xc1", b"\x80", b"\x81\xa7version\x02", b"\x80\x04cos\nsystem\n"])
def test_a_poisoned_state_is_refused_and_nothing_is_lost(poison: bytes) -> None:
    watched = Watched().see(every(15, 0, HOUR), cpu={"percent": 5.0})
    with pytest.raises(ValueError, match="cannot be read"):
        watched.it.restore("4f1d2c3b5a69788796a5b4c3d2e1f001", poison)
    assert watched.see(every(15, HOUR, HOUR + 300), cpu={"percent": 99.0}).opened() == ["cpu_overload"]
