"""Rounds of rollups, one a minute of the clock."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.ingest.rollups import Rollups
from shared.runtime.clock import ManualClock
from tests.support.waiting import eventually


async def test_a_minute_that_closes_during_a_round_does_not_wait_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, rounds = ManualClock(), list[int]()

    class Slow(Rollups):
        async def find_stale(self, *, everything: bool = False) -> int:
            return 0

        async def round(self) -> None:
            rounds.append(self._closed())
            if len(rounds) == 1:
                clock.advance(60)

    async def nothing(*_: Any) -> None: ...

    monkeypatch.setattr("services.ingest.rollups.report", nothing)
    running = asyncio.create_task(Slow(None, clock, max_age_ms=1).run())  # type: ignore[arg-type]
    await eventually(lambda: len(rounds) == 2)
    assert rounds[1] == rounds[0] + 1
    running.cancel()
