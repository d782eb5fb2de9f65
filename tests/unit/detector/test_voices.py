"""One thing, two voices, one anomaly: what has a name takes in what has none."""

from __future__ import annotations

import msgspec
import pytest

from services.detector.voices import CALLED_NORMAL, TAIL_MS, Voices
from shared.schemas.anomaly import Anomaly, AnomalyState, Contribution, Severity
from tests.unit.detector.stories import T0

SECOND = 1000


def part(metric: str, share: float = 1.0, **labels: str) -> Contribution:
    return Contribution(metric=metric, labels=labels, share=share, value=9, expected_low=0, expected_high=1)


CPU, LOAD, TRAFFIC = part("cpu.percent"), part("cpu.load1", 0.7), part("network.recv_bytes_per_s", interface="eth0")


def event(
    name: str,
    state: AnomalyState = "open",
    *parts: Contribution,
    finding: str = "unusual",
    severity: Severity = "warning",
    at: int = 0,
    host: str = "host-1",
    peak: float = 2.0,
) -> Anomaly:
    return Anomaly(
        event_id=f"{name}-{state}-{at}",
        ts=T0 + at * SECOND,
        anomaly_id=name,
        host_id=host,
        host=host,
        state=state,
        finding=finding,
        severity=severity,
        score=2.0,
        peak_score=peak,
        started_at=T0 - 5 * SECOND,
        contributions=list(parts),
        evidence={"ended": "recovered"} if state == "close" else {},
    )


class Story:
    """Both voices, and what was told."""

    def __init__(self) -> None:
        self.it = Voices()
        self.told: list[Anomaly] = []

    def models(self, name: str, state: AnomalyState = "open", *parts: Contribution, **more: object) -> None:
        self.told += self.it.models(event(name, state, *(parts or (CPU,)), **more))  # type: ignore[arg-type]

    def named(
        self,
        name: str,
        state: AnomalyState = "open",
        *parts: Contribution,
        finding: str = "cpu_overload",
        normal: bool = False,
        **more: object,
    ) -> None:
        said = event(name, state, *(parts or (CPU,)), finding=finding, **more)  # type: ignore[arg-type]
        self.told += self.it.named(said, normal=normal)

    def names(self) -> list[str]:
        return [f"{e.anomaly_id[:6]} {e.state} {e.finding}" for e in self.told]


def test_what_has_a_name_is_told_and_what_has_none_beside_it_is_not() -> None:
    it = Story()
    it.named("n")
    it.models("m", "open", CPU, LOAD)
    it.named("n", "update", at=30)
    it.models("m", "close", at=60)
    it.named("n", "close", at=90)
    assert it.names() == ["n open cpu_overload", "n update cpu_overload", "n close cpu_overload"]
    assert [c.metric for c in it.told[1].contributions] == ["cpu.percent", "cpu.load1"], "what it knew is kept"
    assert sum(c.share for c in it.told[1].contributions) == pytest.approx(1)


def test_what_gets_a_name_later_keeps_its_id_and_its_beginning() -> None:
    it = Story()
    it.models("m", "open", LOAD, severity="critical", peak=5.0)
    it.named("n", at=60)
    it.models("m", "update", LOAD, at=65)
    it.named("n", "update", at=90)
    it.models("m", "close", at=100)
    it.named("n", "close", at=120)
    assert it.names() == ["m open unusual", "m update cpu_overload", "m update cpu_overload", "m close cpu_overload"]
    assert {e.started_at for e in it.told} == {T0 - 5 * SECOND}
    assert {e.severity for e in it.told} == {"critical"}, "it does not become less by having a name"
    assert {e.peak_score for e in it.told} == {5.0}
    assert len({e.event_id for e in it.told}) == 4


def test_a_page_of_the_models_is_the_findings_page() -> None:
    it = Story()
    it.named("n", severity="info")
    it.models("m", severity="critical", at=1)
    it.named("n", "update", severity="info", at=30)
    assert [e.severity for e in it.told] == ["info", "critical"]


def test_what_calms_down_after_the_finding_is_over_says_nothing_for_a_while() -> None:
    it = Story()
    it.named("n")
    it.models("m", "open", LOAD)
    assert it.it.took_in(event("n"))
    it.named("n", "close", at=60)
    it.models("k", "open", LOAD, at=70)
    it.models("k", "update", LOAD, at=90)
    assert it.names() == ["n open cpu_overload", "n close cpu_overload"]
    it.models("k", "update", LOAD, at=61 + TAIL_MS // SECOND)
    it.models("k", "close", LOAD, at=1000)
    assert it.names()[2:] == ["k open unusual", "k close unusual"]
    assert it.told[2].started_at == it.told[2].ts


def test_what_was_given_away_is_told_under_another_id_once_it_is_about_something_else() -> None:
    it = Story()
    it.models("m", "open", LOAD)
    it.named("n", at=60)
    it.models("m", "update", TRAFFIC, at=70)
    assert not it.it.took_in(event("n"))
    it.named("n", "close", at=90)
    it.models("m", "close", TRAFFIC, at=100)
    assert [(e.finding, e.state) for e in it.told] == [
        ("unusual", "open"),
        ("cpu_overload", "update"),
        ("unusual", "open"),
        ("cpu_overload", "close"),
        ("unusual", "close"),
    ]
    first, again = {e.anomaly_id for e in it.told[0:4:3]}, {e.anomaly_id for e in it.told[2:5:2]}
    assert first == {"m"} and len(again) == 1 and not first & again
    assert {e.started_at for e in it.told[2:5:2]} == {it.told[2].ts}


def test_what_is_about_something_else_is_told_beside_it() -> None:
    it = Story()
    it.named("n")
    it.models("m", "open", TRAFFIC)
    it.named("d", "open", part("disk.percent", mountpoint="/a"), finding="disk_full")
    it.models("k", "open", part("disk.percent", mountpoint="/b"), host="host-1")
    assert it.names() == [
        "n open cpu_overload",
        "m open unusual",
        "d open disk_full",
        "k open unusual",
    ]


def test_what_turns_into_something_else_is_told_then() -> None:
    it = Story()
    it.named("n")
    it.models("m", "open", LOAD)
    it.models("m", "update", TRAFFIC, at=30)
    assert it.names() == ["n open cpu_overload", "m open unusual"]
    assert it.told[1].started_at == T0 + 30 * SECOND, "that began now, whatever went on before"


def test_what_turns_into_what_has_a_name_ends_and_goes_on_there() -> None:
    """Else the list has two of one disk, and one of them lasts until something quite different calms down."""
    it = Story()
    it.models("m", "open", TRAFFIC)
    it.named("n", at=10)
    it.models("m", "update", CPU, at=20, severity="critical")
    it.models("m", "update", CPU, at=50)
    assert it.names() == ["m open unusual", "n open cpu_overload", "m close unusual"]
    assert it.told[2].ended_at == T0 + 20 * SECOND
    assert it.told[2].summary.startswith("Over (goes on as cpu_overload): ")
    it.named("n", "update", at=60)
    assert it.told[3].severity == "critical"
    it.named("n", "close", at=90)
    it.models("m", "close", CPU, at=95)
    assert it.names()[4:] == ["n close cpu_overload"]


def test_half_of_it_each_is_all_of_it() -> None:
    it = Story()
    it.named("n")
    it.named("t", "open", TRAFFIC, finding="network_spike")
    it.models("m", "open", LOAD.model_copy(update={"share": 0.3}), TRAFFIC.model_copy(update={"share": 0.3}))
    assert it.names() == ["n open cpu_overload", "t open network_spike"]


def test_another_host_is_another_thing() -> None:
    it = Story()
    it.named("n")
    it.models("m", host="host-2")
    assert it.names() == ["n open cpu_overload", "m open unusual"]


def test_what_people_call_normal_is_closed_and_told_anew_when_they_take_it_back() -> None:
    it = Story()
    it.named("n")
    it.named("n", "update", at=30, normal=True)
    it.named("n", "update", at=60, normal=True)
    assert it.names() == ["n open cpu_overload", "n close cpu_overload"]
    assert it.told[1].evidence["ended"] == CALLED_NORMAL and it.told[1].ended_at == T0 + 30 * SECOND
    it.named("n", "update", at=90)
    it.named("n", "close", at=120)
    assert [e.state for e in it.told[2:]] == ["open", "close"]
    assert it.told[2].anomaly_id == it.told[3].anomaly_id != "n"


def test_what_was_always_called_normal_is_never_told() -> None:
    it = Story()
    for state in ("open", "update", "close"):
        it.named("n", state, normal=True)  # type: ignore[arg-type]
    assert it.told == []


def test_nothing_is_remembered_of_a_host_that_is_calm() -> None:
    it = Story()
    it.models("m")
    it.named("n")
    it.named("n", "close")
    it.models("x", "close")
    late = TAIL_MS // SECOND + 1
    it.models("k", "open", at=late)
    it.models("k", "close", at=late)
    assert it.it.state("host-1") is None and it.it._hosts == {}


@pytest.mark.parametrize("cut", range(7))
def test_it_goes_on_from_its_state(cut: int) -> None:
    def steps(it: Story) -> list[object]:
        return [
            lambda: it.models("m", "open", LOAD),
            lambda: it.named("n", at=60),
            lambda: it.models("m", "update", LOAD, at=65),
            lambda: it.named("n", "close", at=90),
            lambda: it.models("k", "open", LOAD, at=100),
            lambda: it.models("k", "update", TRAFFIC, at=130),
            lambda: it.models("k", "close", TRAFFIC, at=2000),
        ]

    whole, before, after = Story(), Story(), Story()
    for step in steps(whole):
        step()  # type: ignore[operator]
    for step in steps(before)[:cut]:
        step()  # type: ignore[operator]
    after.it.restore("host-1", msgspec.msgpack.decode(msgspec.msgpack.encode(before.it.state("host-1"))))
    for step in steps(after)[cut:]:
        step()  # type: ignore[operator]
    assert before.told + after.told == whole.told


@pytest.mark.parametrize("state", [{}, {"named": 3}, {"named": {"n": {}}, "models_id": "", "models": None}])
def test_what_is_no_state_is_refused(state: dict[str, object]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        Voices().restore("host-1", state)
