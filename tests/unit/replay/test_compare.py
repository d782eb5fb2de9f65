"""Which anomalies are the same, which are new, which are gone."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from services.detector.detection import Detection
from services.detector.feedback import Opinions
from services.replay.cli import Outcome, report
from services.replay.compare import NEAR_MS, a_week, compare
from services.replay.run import Episode, Run
from shared.runtime.settings import DetectorSettings
from shared.schemas.codec import Decoder
from shared.schemas.sample import HostSample
from tests.support.samples import T0, host_sample

MINUTE = 60_000
DECODER = Decoder(HostSample)


def episode(start: int, end: int | None, host: str = "h1", finding: str = "unusual") -> Episode:
    return Episode(
        host, host, T0 + start * MINUTE, None if end is None else T0 + end * MINUTE, finding, "warning", 2.0, ""
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (episode(0, 5), episode(3, 8), True),
        (episode(0, 5), episode(6, 8), True),  # a minute apart
        (episode(0, 5), episode(7, 8), False),
        (episode(0, None), episode(100, 101), True),
        (episode(0, 5), episode(0, 5, host="h2"), False),
        (episode(0, 5, finding="disk_full"), episode(0, 5, finding="load_spike"), False),
        (episode(0, 5), episode(0, 5, finding="load_spike"), True),  # it has a name now
    ],
)
def test_what_overlaps_or_nearly_does_is_the_same(one: Episode, other: Episode, same: bool) -> None:
    assert NEAR_MS == MINUTE
    for before, after in ((one, other), (other, one)):
        compared = compare([before], [after])
        assert (list(compared.kept), list(compared.gained), list(compared.lost)) == (
            ([after], [], []) if same else ([], [after], [before])
        )


def test_pages_a_week_are_of_a_host() -> None:
    assert a_week([episode(0, 1)] * 4, host_days=14) == 2.0
    assert a_week([], host_days=0) == 0.0


def story(busy_from: int, seconds: int) -> Iterator[HostSample]:
    for i in range(seconds):
        cpu = 99.0 if busy_from <= i < busy_from + 60 else 5.0 + i % 3
        line = host_sample(host_id="h1", host="web-1", event_id=f"{i}", ts=T0 + i * 1000, cpu={"percent": cpu})
        yield DECODER.line(json.dumps(line).encode())


def run(counted_from: int = 0, **settings: float) -> Run:
    made = Run(
        Detection(DetectorSettings.model_validate({"warmup_seconds": 60, **settings}), Opinions()),
        T0 + counted_from * 1000,
    )
    made.take(story(busy_from=300, seconds=600))
    return made


def test_the_past_is_judged_as_the_present_would_be() -> None:
    (found,) = run().episodes
    assert (found.host, found.started_ms, found.ended_ms) == ("web-1", T0 + 300_000, T0 + 360_000)
    assert found.finding == "cpu_overload" and "cpu.percent" in found.summary


def test_another_configuration_says_something_else_and_what_prepares_is_not_counted() -> None:
    assert run(open_after=120).episodes == []
    assert run(counted_from=400).episodes == []


def test_the_report_names_what_was_gained_and_lost() -> None:
    compared = compare([episode(0, 5), episode(100, 101)], [episode(0, 4), episode(200, None)])
    text = report(Outcome(compared, hosts=1, samples=7200, host_days=7.0, seconds=1.0), "in force", "new.yaml")
    lines = text.splitlines()
    assert [line.split() for line in lines if "anomalies" in line or "pages" in line] == [
        ["anomalies", "2", "2"],
        ["pages", "a", "host", "and", "week", "2.0", "2.0"],
        ["anomalies", "a", "host", "and", "week", "2.0", "2.0"],
    ]
    assert ["unusual", "2", "2", "1", "1"] in [line.split() for line in lines]
    assert any("still open" in line for line in lines[lines.index("gained:") :])
    assert "lost:" in lines
