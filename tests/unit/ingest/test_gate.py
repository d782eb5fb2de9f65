"""The gate: what enters the store, and what every refusal says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.ingest.gate import MAX_LINE_BYTES, Gate, Sorted
from services.ingest.ledger import LATEST_MS, Notes
from shared.bus.port import Message
from shared.schemas.anomaly import Anomaly, HostScore
from shared.schemas.base import DAY_MS
from shared.schemas.sample import HostSample
from tests.support.samples import T0, host_sample

SAMPLES = Gate((HostSample,), HostSample, max_future_ms=600_000, max_age_ms=14 * DAY_MS)
HOST = host_sample()["host_id"]


def message(value: bytes | None, offset: int = 0) -> Message:
    return Message("lapwing.metrics.v1", 3, offset, b"key", value, T0)


def line(**overrides: Any) -> bytes:
    return json.dumps(host_sample(**overrides)).encode()


def sort(*values: bytes | None) -> Sorted:
    return SAMPLES.sort([message(value, offset) for offset, value in enumerate(values)], T0)


def stored(out: Sorted) -> list[bytes]:
    return [entry.line for day in sorted(out.days) for entry in out.days[day]]


def test_good_lines_pass_as_they_are() -> None:
    first, second = line(), line(ts=T0 + 1000)
    out = sort(first + b"\n\n" + second + b"\n", first)
    assert stored(out) == [first, second, first]
    assert not out.dead


def test_a_batch_says_which_hosts_and_minutes_it_touches() -> None:
    out = sort(line(), line(ts=T0 + 59_999), line(ts=T0 + 60_000, host_id="b"), line(host_id="b"))
    minute = T0 // 60_000
    assert out.touched == {minute: {HOST, "b"}, minute + 1: {"b"}}
    assert out.newest_ms == T0 + 60_000


def test_lines_are_grouped_by_day_since_a_day_is_a_partition() -> None:
    yesterday = line(ts=T0 - DAY_MS)
    out = sort(line(), yesterday, line())
    assert [len(out.days[day]) for day in sorted(out.days)] == [1, 2]
    assert stored(out)[0] == yesterday


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (b"\x00garbage", "JSON"),
        (b"[]", "object"),
        (line(schema_version=2), "schema_version 2 is newer than 1"),
        (b"null", "object"),
        (line(host_id=""), "host_id"),
        (line(host_id=None), "host_id"),
        (line(cpu={"percent": 500.0}), "cpu.percent"),
        (line(cpu={"percent": "12"}), "cpu.percent"),
        (line(memory={"total": -1}), "memory.total"),
        (line(load={"load1": 1e300}), "load.load1"),
        (line().replace(b'"percent": 23.4', b'"percent": NaN'), ""),
        (b'{"x":' * 50_000, ""),
        (line().replace(b"web-1", b"\xff\xfe"), ""),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value,
)
def test_a_bad_line_costs_only_itself_and_its_reason_names_the_field(bad: bytes, said: str) -> None:
    good = line()
    out = sort(good + b"\n" + bad + b"\n" + good)
    assert stored(out) == [good, good]
    (dead,) = out.dead
    assert (dead.line, dead.number, dead.stage) == (bad, 2, "decode")
    assert said in dead.reason and dead.reason


@pytest.mark.parametrize("empty", [b"", None, b" \n\n"])
def test_a_message_without_a_line_is_a_dead_letter(empty: bytes | None) -> None:
    (dead,) = sort(empty).dead
    assert dead.reason == "the message is empty"


def test_a_line_of_a_hundred_megabytes_is_not_even_read() -> None:
    out = sort(b'{"x":"' + b"x" * (100 << 20) + b'"}', line())
    assert len(stored(out)) == 1
    assert str(MAX_LINE_BYTES) in out.dead[0].reason


@pytest.mark.parametrize(("seconds", "said"), [(601, "601 s in the future"), (-15 * 86_400, "15 days old")])
def test_an_impossible_time_is_refused(seconds: int, said: str) -> None:
    out = sort(line(ts=T0 + seconds * 1000), line(ts=T0 + 600_000), line(ts=T0 - 14 * DAY_MS))
    assert len(stored(out)) == 2
    assert out.dead[0].stage == "time" and said in out.dead[0].reason


def test_hostile_text_is_only_text() -> None:
    hostile = line(host="'; DROP TABLE samples; --", labels={"<script>": "\0\u202e𝕏 {host:String}"})
    assert stored(sort(hostile)) == [hostile]


def test_of_several_models_only_the_one_that_is_rolled_up_touches() -> None:
    gate = Gate((HostScore, Anomaly), HostScore, max_future_ms=600_000, max_age_ms=DAY_MS)
    base = {"ts": T0, "host_id": HOST, "host": "web-1", "score": 1.0}
    score = {"kind": "score", "event_id": "s", **base}
    anomaly = {"kind": "anomaly", "event_id": "a", "anomaly_id": "A", "state": "open", "peak_score": 1.0, **base}
    anomaly |= {"started_at": T0, "host_id": "other"}
    unknown = {"kind": "surprise", "event_id": "x", **base}
    out = gate.sort([message(json.dumps(event).encode()) for event in (score, anomaly, unknown)], T0)
    assert len(stored(out)) == 2
    assert out.touched == {T0 // 60_000: {HOST}}
    assert "surprise" in out.dead[0].reason


LEDGER = Gate((HostSample,), HostSample, max_future_ms=600_000, max_age_ms=14 * DAY_MS, ledger=True)


def noted(delay_ms: int, spooled: bool = False, **overrides: Any) -> Notes:
    headers = {"lapwing-spooled": b"1"} if spooled else {}
    sent = Message("lapwing.metrics.v1", 3, 0, b"key", line(**overrides), T0 + delay_ms, headers)
    return LEDGER.sort([sent], T0).notes


@pytest.mark.parametrize("delay_ms", [-60_000, 0, 30_000])
def test_of_samples_that_come_in_time_nothing_is_noted(delay_ms: int) -> None:
    assert noted(delay_ms) == Notes()


def test_late_and_spooled_samples_are_noted() -> None:
    assert [a[1:5] for a in noted(30_001, run=5).arrivals] == [(T0, 5, 30_001, False)]
    assert [a[1:5] for a in noted(30_000, spooled=True).arrivals] == [(T0, 0, 0, True)]
    assert [a[1:5] for a in noted(2**62, spooled=True).arrivals] == [(T0, 0, LATEST_MS, True)]


def test_of_what_an_agent_dropped_the_most_of_each_hour_is_noted() -> None:
    hour = T0 // 3_600_000
    lines = [
        line(ts=T0 + n, run=3, agent={"dropped": {"too_many": dropped}}) for n, dropped in enumerate((4, 9, 0), start=1)
    ]
    notes = LEDGER.sort([message(each) for each in lines], T0).notes
    assert notes.drops == {(hour, HOST, 3, "too_many"): 9}


def test_other_topics_keep_no_ledger() -> None:
    sent = Message("lapwing.metrics.v1", 3, 0, b"key", line(), T0 + DAY_MS, {"lapwing-spooled": b"1"})
    assert SAMPLES.sort([sent], T0).notes == Notes()
