"""All parts together: what is told of a host, from its samples."""

from __future__ import annotations

import json
from typing import Any

from services.detector.detection import Detection
from services.detector.feedback import Opinions
from shared.runtime.settings import DetectorSettings
from shared.schemas.anomaly import Anomaly
from shared.schemas.codec import Decoder
from shared.schemas.control import Feedback, Meant
from shared.schemas.sample import HostSample
from tests.support.samples import T0, host_sample

QUICK = DetectorSettings(warmup_seconds=60)
DECODER = Decoder(HostSample)


def sample(second: int, busy: bool = False, **more: Any) -> HostSample:
    cpu = 99.5 if busy else 4.0 + second % 3
    sections = {"cpu": {"percent": cpu}, "load": {"load1": cpu / 25}, "pressure": {"cpu_some_avg10": 0.9 * cpu}}
    line = host_sample(host_id="host-1", event_id=f"{second}", ts=T0 + second * 1000, **(sections | more))
    return DECODER.line(json.dumps(line).encode())


def told(it: Detection, seconds: range, busy: bool = False, **more: Any) -> list[Anomaly]:
    out = []
    for second in seconds:
        judged = it.observe(sample(second, busy, **more))
        out += judged[1] if judged else []
    return out


def normal(anomaly: Anomaly) -> Feedback:
    return Feedback(
        event_id="f",
        ts=T0,
        id=anomaly.anomaly_id,
        host_id=anomaly.host_id,
        verdict="normal",
        author="ada",
        finding=anomaly.finding,
        labels=anomaly.labels,
        metrics=[
            Meant(
                metric=c.metric, labels=c.labels, low=min(c.expected_low, c.value), high=max(c.expected_high, c.value)
            )
            for c in anomaly.contributions
        ],
    )


def test_a_busy_loop_is_one_anomaly_with_a_name_and_all_that_was_unusual() -> None:
    it = Detection(QUICK, Opinions())
    events = told(it, range(600)) + told(it, range(600, 900), busy=True) + told(it, range(900, 1200))
    assert len({e.anomaly_id for e in events}) == 1
    assert [e.state for e in events if e.state != "update"] == ["open", "close"]
    opened, *_, last, closed = events
    assert T0 + 600_000 <= opened.ts <= T0 + 625_000, "the models need no minute to speak"
    assert (last.finding, closed.finding) == ("cpu_overload", "cpu_overload")
    assert last.contributions[0].metric == "cpu.percent"
    assert last.evidence["load1"] and closed.evidence["ended"] == "recovered"


def test_what_is_over_is_not_told_again_because_something_else_goes_on() -> None:
    calm = [host_sample()["disks"][0] | {"percent": 30.0, "free": 10**10}]
    it = Detection(QUICK, Opinions())
    told(it, range(600), disks=calm)
    told(it, range(600, 700), busy=True, disks=calm)
    full = told(it, range(700, 800), busy=True, disks=[calm[0] | {"percent": 97.0}])
    assert {"disk_full", "cpu_overload"} <= {e.finding for e in full}
    after = told(it, range(800, 1700), busy=True, disks=calm)
    assert [e.state for e in after if e.finding != "cpu_overload"][-1:] == ["close"]
    assert [e.finding for e in after if e.state == "open"] == []


def test_the_second_time_it_says_when_it_was_like_that_before() -> None:
    it = Detection(QUICK, Opinions())
    told(it, range(600))
    first = told(it, range(600, 750), busy=True) + told(it, range(750, 1500))
    second = told(it, range(1500, 1650), busy=True)
    assert not any("before" in e.evidence for e in first)
    assert second[-1].finding == "cpu_overload"
    assert second[-1].evidence["before"].startswith("once, 2027-01-15 08:10 for ")


def test_a_finding_that_people_call_normal_is_closed_stays_quiet_and_comes_back_when_they_take_it_back() -> None:
    opinions = Opinions()
    it = Detection(QUICK, opinions)
    told(it, range(600))
    *_, busy = told(it, range(600, 700), busy=True)
    assert busy.finding == "cpu_overload"
    opinions.take(normal(busy))
    events = told(it, range(700, 900), busy=True)
    assert [(e.state, e.evidence["ended"]) for e in events] == [("close", "called normal")]
    assert told(it, range(900, 1500)) + told(it, range(1500, 1700), busy=True) == []
    opinions.forget(busy.anomaly_id)
    again = told(it, range(1700, 1800), busy=True)
    assert again[0].state == "open" and again[0].anomaly_id != busy.anomaly_id


def test_a_finding_that_people_call_real_is_louder() -> None:
    opinions = Opinions()
    leak = {"disks": [host_sample()["disks"][0] | {"percent": 96.0, "free": 10**10, "used": 24 * 10**10}]}
    quiet = told(Detection(QUICK, opinions), range(5), **leak)
    assert [(e.finding, e.severity) for e in quiet] == [("disk_full", "warning")]
    opinions.take(normal(quiet[0]).model_copy(update={"verdict": "real"}))
    assert [e.severity for e in told(Detection(QUICK, opinions), range(5), **leak)] == ["critical"]


def test_it_goes_on_from_its_state_in_the_middle_of_a_story() -> None:
    whole, before, after = (Detection(QUICK, Opinions()) for _ in range(3))
    expected = told(whole, range(600)) + told(whole, range(600, 900), busy=True) + told(whole, range(900, 1100))
    events = told(before, range(600)) + told(before, range(600, 700), busy=True)
    state = before.state("host-1")
    assert state
    after.restore("host-1", state)
    events += told(after, range(700, 900), busy=True) + told(after, range(900, 1100))
    assert events == expected
