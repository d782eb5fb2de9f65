"""The embedded engine on a disk that somebody fills to the last byte, again and again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.ingest.broken_parts import tell_broken_parts
from shared.runtime.settings import Settings
from shared.schemas.codec import encode
from shared.store.clickhouse import open_store
from shared.store.migrate import migrate
from shared.store.port import StoreError
from tests.support.apart import apart
from tests.support.chaos.disk import CannotMount, Disk, small_disk
from tests.support.samples import T0, host_sample
from tests.support.waiting import eventually

FILLINGS = 12
LINES = 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    root = tmp_path / "disk"
    root.mkdir()
    try:
        with small_disk(root, "700m") as disk:
            yield disk
    except CannotMount as why:
        pytest.skip(f"no disk can be filled here: {why}")


async def test_what_was_taken_is_there_after_a_restart(disk: Disk, tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path / "disk"})
    inserting = asyncio.create_task(asyncio.to_thread(apart, _insert_until_told, settings, tmp_path))
    for _ in range(FILLINGS):
        begun = _said(tmp_path)
        await eventually(lambda begun=begun: _said(tmp_path)["taken"] > begun["taken"] or inserting.done(), 60)
        disk.fill()
        await eventually(lambda begun=begun: _said(tmp_path)["refused"] > begun["refused"] or inserting.done(), 60)
        disk.free()
    (tmp_path / "enough").touch()
    taken = await inserting

    assert taken == _said(tmp_path)["taken"] > FILLINGS
    stored, broken = await asyncio.to_thread(apart, _count, settings)
    assert (stored, broken) == (taken * LINES, {})


def _said(tmp_path: Path) -> dict[str, int]:
    try:
        said: dict[str, int] = json.loads((tmp_path / "said").read_text())
    except FileNotFoundError:
        return {"taken": 0, "refused": 0}
    return said


async def _insert_until_told(settings: Settings, tmp_path: Path) -> int:
    """The same lines again until they are taken, then the next; what is known of it is in the file ``said``."""
    store = await open_store(settings, "test")
    await migrate(settings, store)
    taken = refused = 0
    while not (tmp_path / "enough").exists():
        try:
            await store.insert_lines("landing_metrics", _lines(taken))
            taken += 1
        except StoreError as error:
            assert not error.permanent, error
            refused += 1
        (tmp_path / "new").write_text(json.dumps({"taken": taken, "refused": refused}))
        (tmp_path / "new").rename(tmp_path / "said")
    await store.close()
    return taken


def _lines(portion: int) -> bytes:
    return b"\n".join(encode(host_sample(ts=T0 + portion * LINES + line, seq=portion)) for line in range(LINES))


async def _count(settings: Settings) -> tuple[int, dict[str, Any]]:
    store = await open_store(settings, "test")
    [(rows,)] = await store.query("SELECT count() FROM samples FINAL")
    broken = await tell_broken_parts(store, {})
    await store.close()
    return rows, broken
