"""What the store promises (``shared.store.port``), on the embedded engine and over a server's HTTP interface."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shared.runtime.settings import Settings
from shared.schemas.codec import encode
from shared.store.clickhouse import open_store
from shared.store.migrate import migrate
from shared.store.port import DataRefused, Store, StoreError
from tests.support.clickhouse_http import PASSWORD, Front, clickhouse_http
from tests.support.samples import host_sample
from tests.support.store import empty_store, fresh_store  # noqa: F401


@pytest.fixture
def front() -> Iterator[Front]:
    with clickhouse_http() as front:
        yield front


def on_server(front: Front, settings: Settings, **changes: Any) -> Settings:
    """The same database, asked for over HTTP."""
    database = settings.clickhouse.dsn.rpartition("=")[2]
    clickhouse = {"dsn": f"http://lapwing:{PASSWORD}@{front.address}/{database}", **changes}
    return Settings.model_validate({"data_dir": settings.data_dir, "clickhouse": clickhouse})


@pytest.fixture(params=["embedded", "server"])
async def store(
    request: pytest.FixtureRequest,
    empty_store: Settings,  # noqa: F811
    front: Front,
) -> AsyncIterator[Store]:
    settings = empty_store if request.param == "embedded" else on_server(front, empty_store)
    handle = await open_store(settings, "test")
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
    with pytest.raises(DataRefused) as refused:
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


async def test_a_server_gets_the_same_schema_and_the_same_lines(empty_store: Settings, front: Front) -> None:  # noqa: F811
    settings = on_server(front, empty_store)
    store = await open_store(settings, "test")
    assert await migrate(settings, store)
    assert await migrate(settings, store) == []
    await store.insert_lines("landing_metrics", encode(host_sample()))
    assert await store.query("SELECT host_id, cpu_percent FROM samples") == [(host_sample()["host_id"], 234)]
    await store.close()


async def test_many_rows_arrive_whole(store: Store) -> None:
    await store.insert_rows("notes", ["id", "text"], [(n, "x" * 10) for n in range(70_000)])
    ids = (await store.query_columns("SELECT id FROM notes ORDER BY id"))[0]
    assert len(ids) == 70_000 and ids[-1] == 69_999


async def test_a_wrong_password_is_for_ever_and_names_the_setting(empty_store: Settings, front: Front) -> None:  # noqa: F811
    with pytest.raises(StoreError, match="LAPWING_CLICKHOUSE__DSN") as refused:
        await open_store(on_server(front, empty_store, password="wrong"), "test")
    assert refused.value.permanent and "wrong" not in str(refused.value) and PASSWORD not in str(refused.value)


async def test_a_server_that_is_away_is_waited_for(empty_store: Settings, front: Front) -> None:  # noqa: F811
    settings = on_server(front, empty_store)
    store = await open_store(settings, "test")
    front.failure = (503, "upstream is gone")
    with pytest.raises(StoreError) as away:
        await store.query("SELECT 1")
    assert not away.value.permanent
    front.failure = None
    assert await store.query("SELECT 1") == [(1,)]
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        dsn = f"http://lapwing:{PASSWORD}@127.0.0.1:{nobody.getsockname()[1]}/lapwing"
        nowhere = Settings.model_validate({"data_dir": settings.data_dir, "clickhouse": {"dsn": dsn}})
        with pytest.raises(StoreError, match="cannot be reached") as away:
            await open_store(nowhere, "test")
    assert not away.value.permanent and PASSWORD not in str(away.value)
    await store.close()


@pytest.mark.parametrize(
    ("code", "permanent"),
    [(241, False), (252, False), (243, False), (159, False), (60, True), (62, True), (497, True)],
)
async def test_codes_of_a_server_say_whether_to_try_again(
    empty_store: Settings,  # noqa: F811
    front: Front,
    code: int,
    permanent: bool,
) -> None:
    store = await open_store(on_server(front, empty_store), "test")
    front.failure = (500, f"Code: {code}. DB::Exception: it is so. (SOME_NAME) (version 26.9.1 (official build))")
    with pytest.raises(StoreError) as refused:
        await store.insert_lines("notes", b"{}")
    assert refused.value.permanent is permanent
    assert str(refused.value) == "it is so. (SOME_NAME)"
    await store.close()


async def test_a_server_that_never_answers_holds_up_no_stop(empty_store: Settings, front: Front) -> None:  # noqa: F811
    store = await open_store(on_server(front, empty_store), "test")
    front.hang = threading.Event()
    asking = asyncio.create_task(store.query("SELECT 1"))
    await asyncio.sleep(0)
    async with asyncio.timeout(30):  # the server is silent for 60 s
        await store.close()
    front.hang.set()
    assert await asking == [(1,)]


@pytest.mark.parametrize("dsn", ["http:///lapwing", "http://host:99999999/x", "chdb://?database=a-b", "http://h/a b"])
async def test_an_address_that_names_nothing_is_refused(tmp_path: Path, dsn: str) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path, "clickhouse": {"dsn": dsn}})
    with pytest.raises(StoreError, match="LAPWING_CLICKHOUSE__DSN") as refused:
        await open_store(settings, "test")
    assert refused.value.permanent


def test_a_second_process_on_the_same_directory_is_told_so(tmp_path: Path) -> None:
    opening = (
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from shared.runtime.settings import Settings\nfrom shared.store.clickhouse import open_store\n"
        "async def main():\n"
        "    store = await open_store(Settings(data_dir=Path(sys.argv[1])), 'test')\n"
        "    print('open', flush=True); sys.stdin.read(); await store.close()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", opening, str(tmp_path)]
    pipe = subprocess.PIPE
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=env) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "open\n"
        second = subprocess.run(command, input="", capture_output=True, text=True, env=env, timeout=100)
        first.communicate("", timeout=100)
    assert second.returncode != 0
    assert "another process has it open" in second.stderr


def test_a_handle_that_was_never_closed_does_not_hold_the_process(tmp_path: Path) -> None:
    forgetful = (
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from shared.runtime.settings import Settings\nfrom shared.store.clickhouse import open_store\n"
        "store = asyncio.run(open_store(Settings(data_dir=Path(sys.argv[1])), 'test'))\nprint('done')\n"
    )
    command = [sys.executable, "-c", forgetful, str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(command, capture_output=True, text=True, env=env, timeout=100)
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr
