"""The state goes on where it was, and takes nothing that is not one."""

from __future__ import annotations

import math

import msgspec
import pytest

from services.detector.core import HostCore
from tests.unit.detector.core.hosts import HOUR_MS, START_MS, quiet, times


def lived() -> HostCore:
    core = HostCore()
    for ts in times(30):
        core.observe(ts, quiet(ts))
    return core


def test_after_restore_it_continues_bit_for_bit() -> None:
    core, other = lived(), HostCore()
    other.restore(core.state())
    for ts in times(30, start_ms=START_MS + 30 * HOUR_MS):
        features = quiet(ts, 7 if ts % 2 else 5) | {"m1": 99.0}
        assert core.observe(ts, features) == other.observe(ts, features)
    assert core.state() == other.state()


def test_a_core_that_has_seen_nothing_can_be_saved() -> None:
    other = lived()
    other.restore(HostCore().state())
    assert other.state() == HostCore().state()


@pytest.mark.parametrize(
    "break_it",
    [
        lambda s: s | {"version": 2},
        lambda s: s | {"what": "another"},
        lambda s: s | {"names": s["names"][:-1]},
        lambda s: s | {"names": ["m0"] * 6},
        lambda s: s | {"arrays": {}},
        lambda s: s | {"numbers": {}},
        lambda s: s | {"numbers": s["numbers"] | {"recent_0": math.nan}},
        lambda s: s | {"numbers": s["numbers"] | {"counter": 10**9}},
        lambda s: s | {"arrays": s["arrays"] | {"level": ["f8", [6], b"\xff" * 48]}},
        lambda s: s | {"arrays": s["arrays"] | {"level": ["O8", [6], b"\x00" * 48]}},
        lambda s: s | {"arrays": s["arrays"] | {"level": ["f8", [10**9], b""]}},
        lambda s: s | {"arrays": s["arrays"] | {"masses": ["i8", [1, 1, 2], b"\x00" * 16]}},
    ],
)
def test_a_poisoned_state_is_refused_and_changes_nothing(break_it) -> None:  # type: ignore[no-untyped-def]
    core = lived()
    before = core.state()
    with pytest.raises(ValueError):
        core.restore(msgspec.msgpack.encode(break_it(msgspec.msgpack.decode(before))))
    assert core.state() == before


@pytest.mark.parametrize("data", [b"", b"\x80\x04K\x01.", b"\xc1" * 100, lived().state()[:-9]])
def test_bytes_that_are_no_state_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        HostCore().restore(data)
