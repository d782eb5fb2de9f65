"""Clock, retries and health."""

from __future__ import annotations

import itertools
import time

import pytest

from shared.runtime.clock import ManualClock, SystemClock
from shared.runtime.health import Health
from shared.runtime.retry import backoff


def test_the_waits_grow_to_a_bound_and_differ() -> None:
    for attempt, wait in enumerate(itertools.islice(backoff(first=0.2, factor=2, most=10), 200)):
        full = min(10.0, 0.2 * 2 ** min(attempt, 60))
        assert full / 2 <= wait <= full
    assert len({next(backoff()) for _ in range(20)}) > 1


def test_a_manual_clock_moves_when_told() -> None:
    clock = ManualClock(1_000)
    before = clock.monotonic()
    clock.advance(1.5)
    assert (clock.now_ms(), clock.monotonic() - before) == (2_500, 1.5)
    clock.jump(-2)
    assert (clock.now_ms(), clock.monotonic() - before) == (500, 1.5)


def test_the_system_clock_is_the_systems() -> None:
    clock = SystemClock()
    assert abs(clock.now_ms() - time.time() * 1000) < 60_000
    assert clock.monotonic() <= clock.monotonic()


def test_health_lists_who_is_not_well_and_why(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> str | None:
        raise KeyError("lag")

    checks = {"agent": lambda: None, "store": lambda: "the store does not answer", "ingest": broken}
    assert Health.failures(checks) == {
        "store": "the store does not answer",
        "ingest": "cannot be checked: KeyError",
    }
    assert Health.failures({}) == {}
