"""The small product killed at any moment: what the agent had collected is in the tables afterwards, once."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from services.ingest.rollups import Rollups
from shared.runtime.clock import ManualClock
from shared.runtime.settings import Settings
from shared.store.clickhouse import open_store
from tests.support.apart import apart
from tests.support.product import PATIENCE, Product

pytestmark = pytest.mark.timeout(900)  # five starts, each a minute where others work too

KILLS = 4


def test_killed_again_and_again_it_loses_nothing_that_was_collected(tmp_path: Path) -> None:
    moments = random.Random(4)  # each kill finds another part of the road busy
    product = Product(tmp_path, LAPWING_AGENT__INTERVAL="0.2")
    collected: set[int] = set()
    ends: list[int] = []
    for _ in range(KILLS):
        product.start()
        product.until("/api/system/cpu/", lambda data: data["cpu_count"] > 0)
        time.sleep(moments.uniform(1, 7))
        product.kill()
        waiting = _journal(tmp_path)
        assert waiting, "what was collected last cannot have been stored yet"
        collected |= waiting
        ends.append(max(waiting))
    product.start()
    product.until("/api/system/cpu/", lambda data: data["cpu_count"] > 0)
    try:
        deadline = time.monotonic() + PATIENCE
        while (left := collected & _journal(tmp_path)) and time.monotonic() < deadline:
            time.sleep(0.5)
        assert not left, "the journal is let go of when its events are stored"
    finally:
        assert product.stop() == 0

    stored, counted = apart(_looked_up, tmp_path)
    numbers = [number for number, _ in stored]
    assert len(numbers) == len(set(numbers)), "once"
    assert collected <= set(numbers)
    _without_holes_but_at_kills(sorted(numbers), ends)
    # The rollups count each event once as well, however often it was sent.
    assert counted == Counter(ts // 60_000 for _, ts in stored)


def _without_holes_but_at_kills(numbers: list[int], ends: list[int]) -> None:
    """A killed agent skips the numbers it had reserved; it never skips others."""
    for before, after in pairwise(numbers):
        assert after == before + 1 or before in ends, f"{before + 1} to {after - 1} are missing"


def _journal(data_dir: Path) -> set[int]:
    """Numbers of the events that are in it and not let go of."""
    folder = data_dir / "agent" / "spool"
    try:
        segment, byte, _ = (int(word) for word in (folder / "trimmed").read_bytes().split()[:3])
    except (OSError, ValueError):
        segment, byte = -1, 0
    found: set[int] = set()
    for path in folder.glob("*.jsonl"):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue
        for line in data[byte if int(path.stem) == segment else 0 :].split(b"\n")[:-1]:
            found.add(json.loads(line)["seq"])
    return found


async def _looked_up(data_dir: Path) -> tuple[list[tuple[Any, ...]], dict[Any, Any]]:
    """Number and time of every event, and how many the rollups count in each minute, once all minutes are closed."""
    store = await open_store(Settings(data_dir=data_dir), "test")
    try:
        rollups = Rollups(store, ManualClock(round(time.time() * 1000) + 3_600_000), max_age_ms=86_400_000)
        await rollups.find_stale(everything=True)
        await rollups.round()
        stored = await store.query("SELECT seq, toUnixTimestamp64Milli(ts) FROM samples FINAL")
        counted = await store.query(
            "SELECT intDiv(toUnixTimestamp(ts), 60), count FROM rollup_1m FINAL WHERE metric = 'host.samples'"
        )
        return stored, dict(counted)
    finally:
        await store.close()
