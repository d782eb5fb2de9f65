"""What the store promises (``shared.store.port``), on the embedded engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from shared.runtime.settings import Settings
from shared.store.clickhouse import open_store
from shared.store.port import Store, StoreError
from tests.support.store import empty_store, fresh_store  # noqa: F401


@pytest.fixture
async def store(empty_store: Settings) -> AsyncIterator[Store]:  # noqa: F811
    handle = await open_store(empty_store, "test")
    await handle.command(
        "CREATE TABLE notes (id UInt32, text String, at DateTime64(3, 'UTC')) ENGINE = MergeTree ORDER BY id"
    )
    yield handle
    await handle.close()


async def test_rows_go_in_and_come_out_with_bound_parameters(store: Store) -> None:
    at = datetime(2026, 11, 21, 4, 5, 6, 789000, tzinfo=UTC)
    nasty = "'; DROP TABLE notes; -- \\ \0 \n 好"
    await store.insert_rows("notes", ["id", "text", "at"], [(1, nasty, at)])
    assert await store.query("SELECT id, text, at FROM notes WHERE text = {text:String}", {"text": nasty}) == [
        (1, nasty, at)
    ]


async def test_columns_come_column_by_column_even_when_there_are_none(store: Store) -> None:
    await store.insert_lines("notes", b'{"id":1,"text":"a"}\n{"id":2,"text":"b"}')
    ids, texts = await store.query_columns("SELECT id, text FROM notes ORDER BY id")
    assert (list(ids), list(texts)) == ([1, 2], ["a", "b"])
    assert [list(c) for c in await store.query_columns("SELECT id, text FROM notes WHERE id = 9")] == [[], []]


async def test_a_refused_insert_stores_nothing_and_is_permanent(store: Store) -> None:
    with pytest.raises(StoreError) as refused:
        await store.insert_lines("notes", b'{"id":1}\n{"id":"many"}\n{"id":3}')
    assert refused.value.permanent
    assert "Stack" not in str(refused.value) and "version" not in str(refused.value) and "\n" not in str(refused.value)
    assert await store.query("SELECT count() FROM notes") == [(0,)]


@pytest.mark.parametrize(
    ("sql", "permanent"),
    [("SELEC 1", True), ("SELECT * FROM nowhere", True), ("SELECT sleepEachRow(0.2) FROM numbers(30)", False)],
)
async def test_an_error_says_whether_to_try_again(store: Store, sql: str, permanent: bool) -> None:
    with pytest.raises(StoreError) as refused:
        await store.query(sql, timeout=0.5)
    assert refused.value.permanent is permanent
    assert await store.query("SELECT 1") == [(1,)]


async def test_a_handle_that_was_closed_says_so(empty_store: Settings) -> None:  # noqa: F811
    handle = await open_store(empty_store, "test")
    await handle.close()
    await handle.close()
    with pytest.raises(StoreError, match="closed"):
        await handle.query("SELECT 1")


async def test_a_second_directory_in_one_process_is_refused_in_words(empty_store: Settings) -> None:  # noqa: F811
    elsewhere = empty_store.model_copy(
        update={"clickhouse": empty_store.clickhouse.model_copy(update={"dsn": f"chdb://{empty_store.data_dir}/other"})}
    )
    with pytest.raises(StoreError, match="one a process"):
        await open_store(elsewhere, "test")
