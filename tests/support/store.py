"""The embedded store for tests: one engine a test process, a database of its own for each test.

chDB hosts one engine a process, in one directory: a second directory is refused. So every test of a process that
needs a store takes its settings from here::

    from tests.support.store import fresh_store  # noqa: F401  (a fixture)

    async def test_it(fresh_store: Settings) -> None:
        store = await open_store(fresh_store, "reader")

``fresh_store`` is migrated and holds no rows; ``empty_store`` has no tables yet. To migrate takes longer than most
tests, so a database whose test left the schema as it was is emptied and given to the next.
"""

from __future__ import annotations

import atexit
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from shared.runtime.settings import Settings
from shared.store.clickhouse import open_store
from shared.store.migrate import migrate
from shared.store.port import Store

_numbers = itertools.count(1)
_migrated: dict[str, str] = {}
"""Databases that nobody uses: name -> their schema as it was migrated."""


@cache
def _engine() -> tuple[Path, Any]:
    """Its directory and a handle, which is kept: the engine ends with its last one."""
    path = Path(tempfile.mkdtemp(prefix="lapwing-test-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    chdb = pytest.importorskip("chdb")
    kept = chdb.connect(str(path.resolve()))
    atexit.register(kept.close)
    return path, kept


def engine_dir() -> Path:
    """The one directory of this process's engine."""
    return _engine()[0]


def _ask(sql: str) -> str:
    return str(_engine()[1].query(sql, "TSVRaw"))


def _settings(database: str, data_dir: Path) -> Settings:
    dsn = f"chdb://{engine_dir()}?database={database}"
    return Settings.model_validate({"data_dir": data_dir, "clickhouse": {"dsn": dsn}})


@pytest.fixture
async def empty_store(tmp_path: Path) -> AsyncIterator[Settings]:
    """Settings whose store is an empty database of its own, dropped afterwards."""
    database = f"test_{next(_numbers)}"
    settings = _settings(database, tmp_path)
    await (await open_store(settings, "test")).close()
    yield settings
    _drop(database)


@pytest.fixture
async def fresh_store(tmp_path: Path) -> AsyncIterator[Settings]:
    """The same, with the schema in it."""
    if not _migrated:
        await _migrate_another(tmp_path)
    database, schema = _migrated.popitem()
    yield _settings(database, tmp_path)
    if _schema(database) == schema:
        _empty(database)
        _migrated[database] = schema
    else:
        _drop(database)


async def _migrate_another(data_dir: Path) -> None:
    database = f"test_{next(_numbers)}"
    settings = _settings(database, data_dir)
    store = await open_store(settings, "migrations")
    try:
        await migrate(settings, store)
    finally:
        await store.close()
    _migrated[database] = _schema(database)


def _schema(database: str) -> str:
    """Every table as it could be made again, and the migrations that are said to have been applied."""
    tables = _ask(f"SELECT create_table_query FROM system.tables WHERE database = '{database}' ORDER BY name")
    return tables + _ask(f"SELECT number, checksum FROM `{database}`.schema_migrations ORDER BY ALL")


def _empty(database: str) -> None:
    filled = _ask(f"SELECT name FROM system.tables WHERE database = '{database}' AND total_rows > 0")
    for table in set(filled.split()) - {"schema_migrations"}:
        _ask(f"TRUNCATE TABLE `{database}`.`{table}` SYNC")
    _ask("SYSTEM START MERGES")  # where a test has stopped them


def _drop(database: str) -> None:
    _ask(f"DROP DATABASE IF EXISTS `{database}` SYNC")


@pytest.fixture
async def writer(fresh_store: Settings) -> AsyncIterator[Store]:
    """A handle of the test's own, beside the API's."""
    store = await open_store(fresh_store, "writer")
    yield store
    await store.close()
