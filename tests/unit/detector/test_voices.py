from __future__ import annotations

import msgspec

from services.detector.voices import Voices
from shared.schemas.anomaly import Anomaly, AnomalyState, Contribution, Severity
from tests.unit.detector.stories import T0


def said(
    name: str,
    state: AnomalyState = "open",
    severity: Severity = "warning",
    finding: str = "cpu_overload",
    mount: str = "",
    host: str = "host-1",
) -> Anomaly:
    labels = {"mountpoint": mount} if mount else {}
    return Anomaly(
        event_id=f"{name}-{state}",
        ts=T0,
        anomaly_id=name,
        host_id=host,
        host=host,
        state=state,
        finding=finding,
        severity=severity,
        score=2.0,
        peak_score=2.0,
        started_at=T0,
        contributions=[
            Contribution(metric="a.metric", labels=labels, share=1, value=9, expected_low=0, expected_high=1)
        ],
    )


def states(it: Voices, *anomalies: Anomaly) -> list[str]:
    return [f"{told.anomaly_id} {told.state}" for anomaly in anomalies if (told := it.heard(anomaly))]


def test_who_speaks_second_of_one_thing_is_not_heard() -> None:
    it = Voices()
    assert states(it, said("a"), said("b"), said("b", "update"), said("b", "close"), said("a", "close")) == [
        "a open",
        "a close",
    ]


def test_what_goes_on_when_the_first_is_over_is_told_then() -> None:
    it = Voices()
    story = said("a"), said("b"), said("a", "close"), said("b", "update"), said("b", "update"), said("b", "close")
    assert states(it, *story) == ["a open", "a close", "b open", "b update", "b close"]


def test_a_louder_voice_is_heard() -> None:
    it = Voices()
    assert states(it, said("a", severity="info"), said("b", severity="warning")) == ["a open", "b open"]
    assert states(it, said("c", severity="critical")) == ["c open"]
    assert states(it, said("b", "close"), said("c", "close"), said("a", "close")) == ["b close", "c close", "a close"]


def test_other_things_and_other_hosts_are_heard() -> None:
    it = Voices()
    story = (
        said("a", finding="disk_full", mount="/a"),
        said("b", finding="disk_full", mount="/b"),
        said("c", finding="network_drop"),
        said("d", finding="disk_full", mount="/a", host="host-2"),
    )
    assert states(it, *story) == ["a open", "b open", "c open", "d open"]


def test_it_goes_on_from_its_state() -> None:
    before, after = Voices(), Voices()
    states(before, said("a"), said("b"))
    after.restore("host-1", msgspec.msgpack.decode(msgspec.msgpack.encode(before.state("host-1"))))
    assert states(after, said("b", "update"), said("a", "update"), said("a", "close")) == ["a update", "a close"]
    assert after.state("host-1") == {}
