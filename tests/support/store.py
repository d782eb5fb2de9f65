"""The embedded store for tests: one engine a test process, a fresh database a test.

chDB hosts one engine a process, in one directory: a second directory is refused. So every test of a process that
needs a store takes its settings from here::

    from tests.support.store import fresh_store  # noqa: F401  (a fixture)

    async def test_it(fresh_store: Settings) -> None:
        store = await open_store(fresh_store, "reader")

``fresh_store`` is migrated; ``empty_store`` has no tables yet. With pytest-xdist each worker is a process of its own.
"""

from __future__ import annotations

import atexit
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path

import pytest

from shared.runtime.settings import Settings
from shared.store.clickhouse import open_store
from shared.store.migrate import migrate
from shared.store.port import Store

_numbers = itertools.count(1)


@cache
def engine_dir() -> Path:
    """The one directory of this process's engine; a handle is kept, since the engine ends with its last one."""
    path = Path(tempfile.mkdtemp(prefix="lapwing-test-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    chdb = pytest.importorskip("chdb")
    kept = chdb.connect(str(path.resolve()))
    atexit.register(kept.close)
    return path


@pytest.fixture
async def empty_store(tmp_path: Path) -> AsyncIterator[Settings]:
    """Settings whose store is an empty database of its own, dropped afterwards."""
    database = f"test_{next(_numbers)}"
    settings = Settings.model_validate(
        {"data_dir": tmp_path, "clickhouse": {"dsn": f"chdb://{engine_dir()}?database={database}"}}
    )
    store = await open_store(settings, "test")
    try:
        yield settings
    finally:
        await store.command(f"DROP DATABASE IF EXISTS `{database}` SYNC")
        await store.close()


@pytest.fixture
async def fresh_store(empty_store: Settings) -> Settings:
    """The same, with the schema in it."""
    store = await open_store(empty_store, "migrations")
    try:
        await migrate(empty_store, store)
    finally:
        await store.close()
    return empty_store


@pytest.fixture
async def writer(fresh_store: Settings) -> AsyncIterator[Store]:
    """A handle of the test's own, beside the API's."""
    store = await open_store(fresh_store, "writer")
    yield store
    await store.close()
