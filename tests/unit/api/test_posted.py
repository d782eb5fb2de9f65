"""Batches that agents post: what is accepted, what is rejected and why, how it is packed for the bus."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.api.posted import MAX_LINE_BYTES, MESSAGE_BYTES, MOST_REASONS, Posted, Sorter
from shared.runtime.settings import Settings
from shared.schemas.base import DAY_MS
from shared.schemas.topics import LOGS, METRICS
from tests.support.samples import T0, host_sample

LOG = {"kind": "log", "event_id": "l", "ts": T0, "host_id": "h-1", "host": "web-1", "source": "x", "message": "m"}


def sort(*lines: bytes | dict[str, Any], settings: Settings | None = None) -> Posted:
    body = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    return Sorter(settings or Settings()).sort(body, T0)


def test_good_lines_are_kept_to_the_byte_by_host_and_topic_in_order() -> None:
    lines = [json.dumps(host_sample(host_id=f"h-{n % 2}", ts=T0 + n)).encode() for n in range(6)]
    posted = sort(*lines[:3], LOG, *lines[3:])
    assert (posted.accepted, posted.rejected_count, posted.hosts) == (7, 0, {"h-0", "h-1"})
    found = {(m.topic, m.host_id): m.value.split(b"\n") for m in posted.messages}
    assert found == {
        (METRICS, "h-0"): lines[0::2],
        (METRICS, "h-1"): lines[1::2],
        (LOGS, "h-1"): [json.dumps(LOG).encode()],
    }


def test_bad_lines_cost_only_themselves_and_are_told_by_number() -> None:
    good = host_sample()
    posted = sort(
        good,
        b"not json",
        b"",
        host_sample(cpu={"percent": 101.0}),
        b"  \r",
        b'{"kind": "anomaly"}',
        b"[" * 100_000,
        b"\xff",
        good,
    )
    assert (posted.accepted, posted.rejected_count, posted.lines) == (2, 5, 7)
    assert [r.line for r in posted.rejected] == [2, 4, 6, 7, 8]
    assert "cpu.percent" in posted.rejected[1].reason
    assert all(r.reason for r in posted.rejected)


@pytest.mark.parametrize(
    ("ts", "says"),
    [
        (T0 + 601_000, "601 s in the future"),
        (T0 - 15 * DAY_MS, "15 days old"),
        (T0 + 600_000, ""),
        (T0 - 13 * DAY_MS, ""),
    ],
)
def test_events_of_an_untimely_time_are_rejected_as_ingest_would(ts: int, says: str) -> None:
    posted = sort(host_sample(ts=ts))
    if says:
        assert says in posted.rejected[0].reason
    else:
        assert posted.accepted == 1


def test_logs_are_kept_longer_than_samples() -> None:
    assert sort(LOG | {"ts": T0 - 20 * DAY_MS}).accepted == 1


def test_a_line_too_long_for_a_message_is_rejected() -> None:
    log = LOG | {"fields": {"a": "x" * MAX_LINE_BYTES}}
    assert f"at most {MAX_LINE_BYTES}" in sort(log).rejected[0].reason


def test_messages_stay_small_and_in_order() -> None:
    lines = [json.dumps(host_sample(ts=T0 + n)).encode() for n in range(300)]
    posted = sort(*lines)
    assert len(posted.messages) > 2
    assert all(len(m.value) <= MESSAGE_BYTES + len(lines[0]) for m in posted.messages)
    assert b"\n".join(m.value for m in posted.messages).split(b"\n") == lines


def test_reasons_are_bounded_though_the_count_is_true() -> None:
    posted = sort(*[b"x"] * 1000)
    assert (posted.rejected_count, len(posted.rejected)) == (1000, MOST_REASONS)
