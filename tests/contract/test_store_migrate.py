"""The schema's promises: applied once, repeatable, refused when it is not ours, retention as set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.runtime.settings import Settings
from shared.store.clickhouse import open_store
from shared.store.migrate import Migration, migrate, migrations
from shared.store.port import Store, StoreError
from shared.store.statements import statements
from tests.support.store import empty_store  # noqa: F401


@pytest.fixture
async def store(empty_store: Settings) -> AsyncIterator[Store]:  # noqa: F811
    handle = await open_store(empty_store, "test")
    yield handle
    await handle.close()


async def test_each_migration_is_applied_once(empty_store: Settings, store: Store) -> None:  # noqa: F811
    assert await migrate(empty_store, store) == [m.name for m in migrations()]
    assert await migrate(empty_store, store) == []


async def test_the_numbers_have_no_gaps() -> None:
    assert [m.number for m in migrations()] == list(range(1, len(migrations()) + 1))


async def test_several_may_start_at_once(empty_store: Settings) -> None:  # noqa: F811
    handles = await asyncio.gather(*(open_store(empty_store, f"test-{n}") for n in range(4)))
    await asyncio.gather(*(migrate(empty_store, handle) for handle in handles))
    ((rows,),) = await handles[0].query("SELECT count() FROM schema_migrations FINAL")
    assert rows == len(migrations())
    for handle in handles:
        await handle.close()


async def test_an_interrupted_migration_is_finished_by_the_next_start(
    empty_store: Settings,  # noqa: F811
    store: Store,
) -> None:
    first, *_ = migrations()
    for statement in list(statements(first.sql))[:3]:
        await store.command(statement)
    assert await migrate(empty_store, store) == [m.name for m in migrations()]


async def test_an_edited_migration_is_refused(empty_store: Settings, store: Store) -> None:  # noqa: F811
    known = [Migration(1, "0001_notes", "CREATE TABLE IF NOT EXISTS notes (id UInt8) ENGINE = MergeTree ORDER BY id")]
    await migrate(empty_store, store, known=known)
    edited = [Migration(1, "0001_notes", known[0].sql.replace("UInt8", "UInt16"))]
    with pytest.raises(StoreError, match="0001_notes is not the one this database was made with") as refused:
        await migrate(empty_store, store, known=edited)
    assert refused.value.permanent


async def test_a_database_newer_than_the_code_is_refused(empty_store: Settings, store: Store) -> None:  # noqa: F811
    known = [Migration(n, f"000{n}_notes", "SELECT 1") for n in (1, 2)]
    await migrate(empty_store, store, known=known)
    with pytest.raises(StoreError, match=r"newer Lapwing .*0002_notes") as refused:
        await migrate(empty_store, store, known=known[:1])
    assert refused.value.permanent


async def test_retention_follows_the_settings(empty_store: Settings, store: Store) -> None:  # noqa: F811
    await migrate(empty_store, store)
    shorter = empty_store.model_copy(
        update={"clickhouse": empty_store.clickhouse.model_copy(update={"raw_days": 3, "log_days": 5})}
    )
    await migrate(shorter, store)
    engines = dict(
        await store.query(
            "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase() AND name IN "
            "('samples', 'logs', 'rollup_1h')"
        )
    )
    assert "toIntervalDay(3)" in engines["samples"]
    assert "toIntervalDay(5)" in engines["logs"]
    assert "toIntervalDay(730)" in engines["rollup_1h"]


def test_statements_end_at_semicolons_that_are_not_text() -> None:
    sql = """
    -- one; comment
    CREATE TABLE a (s String DEFAULT 'x;\\'y''--z', `odd;name` UInt8); /* ; */
    INSERT INTO a VALUES ('/* not a comment */', 1 - -1);;
    SELECT 1/2, "q;"
    """
    assert list(statements(sql)) == [
        "CREATE TABLE a (s String DEFAULT 'x;\\'y''--z', `odd;name` UInt8)",
        "INSERT INTO a VALUES ('/* not a comment */', 1 - -1)",
        'SELECT 1/2, "q;"',
    ]
