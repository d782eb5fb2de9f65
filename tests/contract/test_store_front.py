"""`lapwing store serve`, as its clients see it: a process of its own with the users' real rights."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lz4.frame
import pytest

from shared.store.front.blocks import BlockDecoder, BlockEncoder

clickhouse_connect = pytest.importorskip("clickhouse_connect")

ROWS = 200_000  # more than one block of the client, and of the engine
WRITER = ("lapwing", "w's secret")
READER = ("reader", "r&secret")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a front in a process of its own."""
    data = tmp_path_factory.mktemp("served")
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LAPWING_")},
        "LAPWING_DATA_DIR": str(data),
        "LAPWING_STORE__PORT": "0",
        "LAPWING_STORE__WRITER_PASSWORD": WRITER[1],
        "LAPWING_STORE__READER_PASSWORD": READER[1],
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "services", "store", "serve"], env=environ, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        said = ""
        for line in process.stdout:
            said += line
            if found := re.search(r"served at (http://\S+)", line):
                yield found[1]
                break
        else:
            pytest.fail(f"it did not start: {said}")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, "a stop is clean"
        assert not list((data / "run").glob("*.sock"))


def ask(
    url: str,
    body: bytes | str = b"",
    *,
    user: tuple[str, str] | None = WRITER,
    headers: dict[str, str] | None = None,
    method: str = "POST",
    **arguments: str,
) -> tuple[int, bytes, Any]:
    """Status, body and headers of one request."""
    request = urllib.request.Request(f"{url}/?{urllib.parse.urlencode(arguments)}", method=method)
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    if user:
        request.add_header("X-ClickHouse-User", user[0])
        request.add_header("X-ClickHouse-Key", user[1])
    if method == "POST":
        request.data = body.encode() if isinstance(body, str) else body
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


def client(url: str, user: tuple[str, str] = WRITER, **more: Any) -> Any:
    parts = urllib.parse.urlsplit(url)
    return clickhouse_connect.get_client(
        host=parts.hostname, port=parts.port, username=user[0], password=user[1], database="lapwing", **more
    )


@pytest.fixture
def table(served: str) -> Iterator[str]:
    ask(served, "CREATE TABLE lapwing.notes (id UInt64, text String) ENGINE = MergeTree ORDER BY id")
    yield "notes"
    ask(served, "DROP TABLE lapwing.notes SYNC")


def counted(served: str) -> bytes:
    return ask(served, "SELECT count(), uniqExact(id), sum(length(text)) FROM lapwing.notes")[1]


def test_who_is_nobody_is_told_so_as_clickhouse_tells_it(served: str) -> None:
    for user, status in ((None, 401), (("lapwing", "wrong"), 403), (("nobody", "x"), 403), (("default", ""), 403)):
        got, body, headers = ask(served, "SELECT 1", user=user)
        assert (got, headers["X-ClickHouse-Exception-Code"]) == (status, "516")
        assert body.startswith(b"Code: 516. DB::Exception: ")


def test_ping_needs_no_password(served: str) -> None:
    for path in ("ping", "replicas_status"):
        with urllib.request.urlopen(f"{served}/{path}", timeout=60) as answer:
            assert answer.read() == b"Ok.\n"


def test_a_password_may_come_by_headers_by_basic_and_in_the_url(served: str) -> None:
    import base64

    basic = {"Authorization": "Basic " + base64.b64encode(":".join(READER).encode()).decode()}
    assert ask(served, "SELECT 1", user=READER)[1] == b"1\n"
    assert ask(served, "SELECT 1", user=None, headers=basic)[1] == b"1\n"
    url = f"{served}/?" + urllib.parse.urlencode({"user": READER[0], "password": READER[1], "query": "SELECT 1"})
    with urllib.request.urlopen(url, timeout=60) as answer:
        assert answer.read() == b"1\n"


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl here")
def test_curl_asks_with_parameters_settings_and_formats(served: str) -> None:
    said = subprocess.run(
        [
            *("curl", "-s", "-u", ":".join(READER), f"{served}/?param_n=3&default_format=JSONEachRow&max_threads=1"),
            *("-d", "SELECT number AS a, 'ü' AS b FROM numbers({n:UInt8})"),
        ],
        capture_output=True,
        check=True,
    ).stdout
    assert [json.loads(line) for line in said.splitlines()] == [{"a": n, "b": "ü"} for n in range(3)]


def test_a_bad_statement_has_a_code_a_status_and_a_sentence(served: str) -> None:
    for sql, status, code in (
        ("SELEC 1", 400, "62"),
        ("SELECT nope", 400, "47"),
        ("SELECT * FROM nothing", 404, "60"),
        ("", 400, "62"),
        ("INSERT INTO lapwing.nothing FORMAT CSV\n1", 404, "60"),
    ):
        got, body, headers = ask(served, sql)
        assert (got, headers["X-ClickHouse-Exception-Code"]) == (status, code), body
        assert body.startswith(f"Code: {code}. DB::Exception: ".encode())


def test_an_error_in_the_middle_of_an_answer_is_at_its_end(served: str) -> None:
    _, body, headers = ask(served, "SELECT throwIf(number = 900000), number FROM numbers(1000000)")
    tag = headers["X-ClickHouse-Exception-Tag"].encode()
    assert b"__exception__\r\n" + tag + b"\r\nCode: 395. " in body and body.endswith(tag + b"\r\n__exception__\r\n")


def test_an_unknown_setting_and_a_get_that_changes_things_are_refused(served: str, table: str) -> None:
    assert ask(served, "SELECT 1", no_such_setting="1")[2]["X-ClickHouse-Exception-Code"] == "115"
    got = ask(served, method="GET", query="INSERT INTO lapwing.notes VALUES (1, 'x')")
    assert got[2]["X-ClickHouse-Exception-Code"] == "164" and counted(served).startswith(b"0\t")


def test_settings_of_one_request_are_gone_with_it(served: str) -> None:
    assert ask(served, "SELECT getSetting('max_threads')", max_threads="3")[1] == b"3\n"
    assert ask(served, "SELECT getSetting('max_threads')")[1] != b"3\n"


LINES = b"".join(b"%d\tx\n" % n for n in range(ROWS))
HALVES = (LINES[: LINES.index(b"100000\t")], LINES[LINES.index(b"100000\t") :])
ALL = f"{ROWS}\t{ROWS}\t{ROWS}\n".encode()


def _zstd(data: bytes) -> bytes:
    from shared.store.front.encodings import zstd

    return bytes(zstd().compress(data))


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("", lambda data: data),
        ("gzip", gzip.compress),
        ("lz4", lz4.frame.compress),
        ("zstd", _zstd),
    ],
)
def test_all_frames_of_a_body_are_stored(served: str, table: str, encoding: str, packed: Any) -> None:
    body = b"".join(packed(half) for half in HALVES)
    headers = {"Content-Encoding": encoding} if encoding else {}
    got = ask(served, body, headers=headers, query="INSERT INTO lapwing.notes FORMAT TSV")
    assert got[0] == 200 and json.loads(got[2]["X-ClickHouse-Summary"])["written_rows"] == str(ROWS)
    assert counted(served) == ALL


def test_a_body_cut_short_stores_nothing_and_says_so(served: str, table: str) -> None:
    body = gzip.compress(LINES)[:-9]
    got = ask(served, body, headers={"Content-Encoding": "gzip"}, query="INSERT INTO lapwing.notes FORMAT TSV")
    assert got[2]["X-ClickHouse-Exception-Code"] == "271"
    assert counted(served).startswith(b"0\t")


def test_what_the_table_refuses_is_said(served: str) -> None:
    """Reading the data was no trouble: the refusal comes while it is written."""
    ask(served, "CREATE TABLE lapwing.few (id UInt64, CONSTRAINT few CHECK id < 10) ENGINE = MergeTree ORDER BY id")
    got = ask(served, "1\n11\n", query="INSERT INTO lapwing.few FORMAT TSV")
    assert (got[0], got[2]["X-ClickHouse-Exception-Code"]) == (400, "469"), got
    assert ask(served, "SELECT count() FROM lapwing.few")[1] == b"0\n"
    ask(served, "DROP TABLE lapwing.few SYNC")


def test_what_a_view_refuses_is_said(served: str, table: str) -> None:
    ask(served, "CREATE TABLE lapwing.seen (id UInt64) ENGINE = MergeTree ORDER BY id")
    ask(
        served,
        "CREATE MATERIALIZED VIEW lapwing.watching TO lapwing.seen AS "
        "SELECT id + throwIf(id = 11, 'not eleven') AS id FROM lapwing.notes",
    )
    got = ask(served, '{"id": 11, "text": ""}', query="INSERT INTO lapwing.notes FORMAT JSONEachRow")
    assert got[2]["X-ClickHouse-Exception-Code"] == "395" and b"not eleven" in got[1]
    ask(served, "DROP VIEW lapwing.watching SYNC")
    ask(served, "DROP TABLE lapwing.seen SYNC")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO lapwing.notes (id) SETTINGS async_insert = 0, max_insert_block_size = 1 FORMAT CSV\n1\n2\n",
        "INSERT INTO lapwing.notes (id) SETTINGS async_insert = 0 VALUES (1), (2)",
        "INSERT INTO lapwing.notes (id) VALUES (1), (2)",
    ],
)
def test_an_insert_may_have_settings_and_its_data_behind_it(served: str, table: str, statement: str) -> None:
    assert ask(served, statement)[0] == 200
    assert counted(served) == b"2\t2\t0\n"


def test_an_insert_of_nothing_stores_nothing(served: str, table: str) -> None:
    got = ask(served, "", query="INSERT INTO lapwing.notes FORMAT JSONEachRow")
    assert got[0] == 200 and json.loads(got[2]["X-ClickHouse-Summary"])["written_rows"] == "0"
    assert counted(served).startswith(b"0\t")


def test_clickhouses_own_blocks_go_in_and_come_out(served: str, table: str) -> None:
    blocks = BlockEncoder().feed(LINES)
    assert ask(served, blocks, query="INSERT INTO lapwing.notes FORMAT TSV", decompress="1")[0] == 200
    assert counted(served) == ALL
    _, body, _ = ask(served, "SELECT id, text FROM lapwing.notes ORDER BY id", compress="1")
    assert BlockDecoder().feed(body) == LINES
    broken = blocks[:100] + bytes([blocks[100] ^ 1]) + blocks[101:]
    got = ask(served, broken, query="INSERT INTO lapwing.notes FORMAT TSV", decompress="1")
    assert got[2]["X-ClickHouse-Exception-Code"] == "271"


@pytest.mark.parametrize("encoding", ["gzip", "lz4", "zstd"])
def test_an_answer_is_packed_when_it_is_asked_for(served: str, encoding: str) -> None:
    from shared.store.front.encodings import decoder

    sql = f"SELECT number, 'x' FROM numbers({ROWS})"
    _, body, headers = ask(served, sql, headers={"Accept-Encoding": encoding}, enable_http_compression="1")
    assert headers["Content-Encoding"] == encoding
    unpack = decoder(encoding)
    assert unpack.feed(body) + unpack.end() == LINES


@pytest.mark.parametrize("compress", [False, True, "gzip", "lz4", "zstd"])
def test_the_clients_rows_go_in_and_come_out(served: str, table: str, compress: Any) -> None:
    asking = client(served, compress=compress)
    asking.insert(table, [(n, "x") for n in range(ROWS)], column_names=["id", "text"])
    assert counted(served) == ALL
    assert len(asking.query("SELECT * FROM notes").result_rows) == ROWS
    with asking.query_row_block_stream("SELECT * FROM notes") as stream:
        assert sum(len(block) for block in stream) == ROWS
    assert asking.query("SELECT id, text FROM notes WHERE 0").column_names == ("id", "text")
    asking.close()


async def test_the_asynchronous_client_writes_and_reads(served: str, table: str) -> None:
    parts = urllib.parse.urlsplit(served)
    asking = await clickhouse_connect.create_async_client(
        host=parts.hostname, port=parts.port, username=WRITER[0], password=WRITER[1], database="lapwing"
    )
    try:
        await asking.insert(table, [(n, "x") for n in range(ROWS)], column_names=["id", "text"])
        several = (asking.query("SELECT sum(id) FROM notes WHERE id < {n:UInt64}", {"n": n}) for n in range(8))
        sums = [result.result_rows[0][0] for result in await asyncio.gather(*several)]
        assert sums == [sum(range(n)) for n in range(8)]
        with pytest.raises(Exception, match="Code: 47"):
            await asking.query("SELECT nope")
        assert len((await asking.query("SELECT * FROM notes")).result_rows) == ROWS
    finally:
        await asking.close()


def test_clients_that_hang_up_leave_room_for_others(served: str) -> None:
    parts = urllib.parse.urlsplit(served)
    import http.client

    for _ in range(20):
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
        connection.request(
            "POST", "/?user=lapwing&password=" + urllib.parse.quote(WRITER[1]), "SELECT * FROM numbers(1e9)"
        )
        connection.getresponse().read(1000)
        connection.close()
    assert ask(served, "SELECT 1")[1] == b"1\n"


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO lapwing.hosts SELECT * FROM lapwing.hosts",
        "INSERT INTO lapwing.hosts FORMAT CSV\n1",
        "CREATE TABLE lapwing.mine (a UInt8) ENGINE = Memory",
        "CREATE TEMPORARY TABLE mine (a UInt8)",
        "DROP TABLE lapwing.hosts",
        "ALTER TABLE lapwing.hosts DELETE WHERE 1",
        "TRUNCATE TABLE lapwing.hosts",
        "SELECT * FROM lapwing.users",
        "SELECT * FROM lapwing.api_tokens",
        "SELECT value FROM lapwing.keyring",
        "SELECT * FROM merge('lapwing', '^users$')",
        "SELECT (SELECT any(password_hash) FROM lapwing.users)",
        "EXPLAIN SELECT (SELECT any(password_hash) FROM lapwing.users)",
        "SELECT 1 WHERE 1 IN (SELECT 1 FROM lapwing.`users`)",
        "DESCRIBE TABLE lapwing.users",
        "SHOW CREATE TABLE lapwing.keyring",
        "SELECT file('/etc/passwd')",
        "SELECT `fi\\x6ce`('/etc/passwd')",
        "EXPLAIN SELECT file('/etc/passwd')",
        "SELECT * APPLY(file) FROM (SELECT '/etc/passwd')",
        "SELECT arrayMap(file, ['/etc/passwd'])",
        "SELECT * FROM file('/etc/passwd', LineAsString)",
        "SELECT * FROM url('http://127.0.0.1:1/', LineAsString)",
        "SELECT * FROM executable('id', TSV, 'a String')",
        "SELECT * FROM sqlite('a.db', 'b')",
        "SELECT * FROM remote('127.0.0.1', lapwing.users)",
        "SELECT 1 INTO OUTFILE 'lapwing-reader.out'",
        "SELECT * FROM system.processes",
        "SELECT * FROM system.`processes`",
        "SELECT 1 IN (SELECT 1 FROM system.errors)",
        "SHOW PROCESSLIST",
        "KILL QUERY WHERE 1",
        "SYSTEM FLUSH LOGS",
        "SET ROLE ALL",
        "SET ROLE lapwing_writer",
        "SELECT 1; SET ROLE ALL; SELECT * FROM lapwing.users",
        "SELECT 1 /* ' */; SET ROLE ALL /* ' */",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 SETTINGS additional_result_filter = 'file(''/etc/passwd'') != '''''",
        "SET readonly = 0",
        "USE system",
        "GRANT ALL ON *.* TO default",
    ],
)
def test_the_reader_may_not(served: str, sql: str) -> None:
    status, body, headers = ask(served, sql, user=READER)
    assert status >= 400 and headers["X-ClickHouse-Exception-Code"] in ("497", "164", "62"), body
    assert b"root:" not in body
    assert not Path("lapwing-reader.out").exists()


@pytest.mark.parametrize(
    ("sql", "arguments"),
    [
        ("SELECT * FROM {t:Identifier}", {"param_t": "system.processes"}),
        ("SELECT * FROM system.{t:Identifier}", {"param_t": "processes"}),
        ("SELECT * FROM processes", {"database": "system"}),
        ("SELECT 1", {"readonly": "0"}),
        ("SELECT 1", {"additional_result_filter": "file('/etc/passwd') != ''"}),
        ("SELECT 1", {"format_template_resultset": "/etc/passwd", "default_format": "Template"}),
        ("SELECT * FROM users", {"database": "lapwing", "role": "lapwing_writer"}),
    ],
)
def test_the_reader_may_not_by_the_url_either(served: str, sql: str, arguments: dict[str, str]) -> None:
    status, body, headers = ask(served, sql, user=READER, **arguments)
    assert status >= 400 and headers["X-ClickHouse-Exception-Code"] in ("497", "164"), body


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count() FROM lapwing.v_samples",
        "WITH 3 AS n SELECT n, count() FROM lapwing.rollup_1m GROUP BY n",
        "SELECT host, round(avg(avg), 1) FROM lapwing.v_minutes AS m LEFT JOIN lapwing.v_hosts AS h USING (host_id) "
        "WHERE metric = 'cpu.percent' AND ts > now() - INTERVAL 1 DAY GROUP BY host",
        "SHOW TABLES FROM lapwing",
        "DESCRIBE TABLE lapwing.v_samples",
        "EXPLAIN SELECT * FROM lapwing.v_samples",
        "SELECT name FROM system.tables WHERE database = 'lapwing'",
        "SELECT name FROM system.databases",
        "SELECT number FROM numbers(3) FORMAT JSON",
        "SELECT 'SELECT 1; DROP' AS `semi;colon` -- a; b",
        "SELECT 1;",
    ],
)
def test_the_reader_may(served: str, sql: str) -> None:
    status, body, _ = ask(served, sql, user=READER)
    assert status == 200, body


GRAFANA = {"database": "lapwing", "default_format": "Native", "client_protocol_version": "54460", "limit": "1000000",
           "enable_http_compression": "1", "max_execution_time": "65"}  # fmt: skip
"""What Grafana's ClickHouse plugin says of every question, by clickhouse-go over HTTP."""


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT displayName(), version(), revision(), timezone()",
        "SELECT 1",
        "SELECT version()",
        "SHOW DATABASES",
        'SHOW TABLES FROM "lapwing"',
        'DESC TABLE "lapwing"."v_samples"',
        "SELECT database, name FROM system.tables ORDER BY database, name",
        "SELECT name, database, table FROM system.tables",
        "SELECT name, type, table FROM system.columns WHERE database IN ('lapwing')",
        "SELECT database, table, name, type, comment FROM system.columns WHERE (database, table) IN "
        "(('lapwing', 'v_samples')) ORDER BY database, table, position",
        "SELECT currentDatabase()",
        "SELECT DISTINCT host FROM lapwing.v_hosts",
        'SELECT DISTINCT arrayJoin(dropped.keys) as keys FROM "lapwing"."v_completeness" LIMIT 1000',
        "SELECT name, is_aggregate, case_insensitive, alias_to, origin, description, syntax, arguments, "
        "returned_value, examples, categories FROM system.functions LIMIT 10000",
        # $__timeInterval, $__timeFilter, $__timeInterval_ms, $__timeFilter_ms, $__dateFilter, $__interval_s
        "SELECT toStartOfInterval(toDateTime(ts), INTERVAL 60 second) AS time, avg(cpu_percent) AS cpu FROM v_samples "
        "WHERE ts >= toDateTime(1800000000) AND ts <= toDateTime(1800003600) GROUP BY time ORDER BY time",
        "SELECT toStartOfInterval(toDateTime64(ts, 3), INTERVAL 500 millisecond) AS time, max(cpu_percent) "
        "FROM v_samples WHERE ts >= fromUnixTimestamp64Milli(1800000000000) "
        "AND ts <= fromUnixTimestamp64Milli(1800003600000) GROUP BY 1",
        "SELECT count() / 60 FROM v_minutes WHERE toDate(ts) >= toDate('2027-01-15') "
        "AND toDate(ts) <= toDate('2027-01-16')",
        # The query builder: a table, a series, logs and their volume
        'SELECT "ts" AS "time", "host_id", "cpu_percent" FROM "lapwing"."v_samples" '
        'WHERE ( time >= toDateTime(1800000000) AND time <= toDateTime(1800003600) ) '
        'AND ( host_id = \'a\' ) ORDER BY time ASC LIMIT 1000',
        'SELECT ts AS timestamp, message AS body, source AS level FROM "lapwing"."v_logs" WHERE ( timestamp >= '
        "fromUnixTimestamp64Milli(1800000000000) AND (body LIKE '%error%') ) ORDER BY timestamp DESC LIMIT 1000",
        'SELECT toStartOfInterval("ts", INTERVAL 1 MINUTE) AS time, sum(multiSearchAny(toString("source"), '
        "['error', 'ERROR'])) AS error FROM \"lapwing\".\"v_logs\" GROUP BY time ORDER BY time ASC",
    ],
)  # fmt: skip
def test_grafanas_plugin_may_ask_as_it_does(served: str, sql: str) -> None:
    status, body, headers = ask(served, sql, user=READER, headers={"Accept-Encoding": "gzip"}, **GRAFANA)
    assert status == 200, body
    assert headers["Content-Encoding"] == "gzip" and headers["X-ClickHouse-Format"] == "Native"
    assert gzip.decompress(body)[:1] in (b"\x01", b""), "a block as the revision wants it"


def test_what_grafana_wants_no_more_than_it_does_not_get(served: str) -> None:
    given = {**GRAFANA, "limit": "3", "default_format": "TSV"}
    given.pop("enable_http_compression")
    assert ask(served, "SELECT number FROM numbers(10)", user=READER, **given)[1] == b"0\n1\n2\n"


def test_the_reader_has_the_client_too(served: str) -> None:
    asking = client(served, READER)
    assert asking.query("SELECT count() FROM v_samples").result_rows == [(0,)]
    with pytest.raises(Exception, match="497"):
        asking.insert("hosts", [("x",)], column_names=["host_id"])
    asking.close()


def test_a_second_front_over_the_same_directory_is_refused(tmp_path: Path) -> None:
    from shared.runtime.data_dir import DataDir

    held = DataDir(tmp_path)
    held.claim(["store front"])
    environ = {**os.environ, "LAPWING_DATA_DIR": str(tmp_path), "LAPWING_STORE__PORT": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "services", "store", "serve"], env=environ, capture_output=True, text=True, timeout=100
    )
    held.release()
    assert done.returncode != 0 and "in use by another Lapwing" in done.stderr
