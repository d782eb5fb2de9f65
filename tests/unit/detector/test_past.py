"""An anomaly says when this host was like that before."""

from __future__ import annotations

import msgspec

from services.detector.past import KEPT, Past
from shared.schemas.anomaly import Anomaly
from tests.unit.detector.test_voices import CPU, TRAFFIC, event

HOUR = 3600


def over(name: str, at: int, finding: str = "unusual", host: str = "host-1") -> Anomaly:
    return event(name, "close", CPU, finding=finding, at=at, host=host)


def test_it_names_the_last_ones_of_the_same_kind_newest_first() -> None:
    past = Past()
    assert past.before(event("a", "open", CPU)) == ""
    past.closed(over("a", 60))
    assert past.before(event("b", "open", CPU)) == "once, 2027-01-15 07:59 for 65 s"
    for n in range(1, 5):
        past.closed(over(f"b{n}", n * HOUR))
    told = past.before(event("c", "open", CPU))
    assert told.startswith("5 times, last 2027-01-15 07:59 for 4 h, ") and told.count(" for ") == 3


def test_another_finding_metric_or_host_is_not_similar() -> None:
    past = Past()
    past.closed(over("a", 60))
    assert past.before(event("b", "open", TRAFFIC)) == ""
    assert past.before(event("b", "open", CPU, finding="cpu_overload")) == ""
    assert past.before(event("b", "open", CPU, host="host-2")) == ""


def test_it_is_bounded_and_goes_on_from_its_state() -> None:
    past, later = Past(), Past()
    for n in range(KEPT + 10):
        past.closed(over(f"a{n}", n))
    state = past.state("host-1")
    assert len(state) == KEPT
    later.restore("host-1", msgspec.msgpack.decode(msgspec.msgpack.encode(state)))
    assert later.before(event("b", "open", CPU)) == past.before(event("b", "open", CPU)) != ""
    later.forget("host-1")
    assert later.state("host-1") == []
