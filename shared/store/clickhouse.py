"""The store on ClickHouse, by clickhouse-connect: the same code for the embedded engine (chDB) and for a server.

The client is the synchronous one in both modes (the asynchronous one knows no chDB), on one thread per handle, so that
the event loop never waits. chDB is one engine a process with one directory an engine.
"""

from __future__ import annotations

import asyncio
import functools
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import lz4.frame  # type: ignore[import-untyped]

from shared.runtime.settings import Settings
from shared.store.engine_options import SESSION, engine_options
from shared.store.port import Store, StoreError
from shared.store.refusals import refusal
from shared.store.worker import Worker

T = TypeVar("T")

DATABASE = "lapwing"
QUERY_SECONDS = 30.0
COMMAND_SECONDS = 600.0
CONNECT_SECONDS = 5
CLOSE_SECONDS = 2.0
EXIT_SECONDS = 5.0

_LINES = {
    "input_format_skip_unknown_fields": 1,
    "input_format_null_as_default": 1,
    "input_format_json_ignore_unknown_keys_in_named_tuple": 1,
    "input_format_json_defaults_for_missing_elements_in_named_tuple": 1,
    "input_format_json_read_objects_as_strings": 1,
    "input_format_json_read_arrays_as_strings": 1,
    # One block an insert, so that every table gets one part of it.
    "input_format_parallel_parsing": 0,
    "max_insert_threads": 1,
    "parallel_view_processing": 0,
    # The views read what is in memory: making their plans better costs a twentieth of an insert of few rows.
    "query_plan_enable_optimizations": 0,
    # Repeats are removed by merges and FINAL; looking for them within each insert as well costs 5 us an event.
    "optimize_on_insert": 0,
    # A line of long ago must not make all others wait for ever; ingest bounds how old a line may be.
    "max_partitions_per_insert_block": 0,
    "async_insert": 0,
    "materialized_views_ignore_errors": 0,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
}


@dataclass(frozen=True)
class Address:
    """Where the store is: an embedded engine in ``path``, opened with ``engine``, or a server at ``host``."""

    database: str
    path: Path | None = None
    engine: Mapping[str, int] = field(default_factory=dict)
    host: str = ""
    port: int = 0
    secure: bool = False
    username: str = "default"
    password: str = field(default="", repr=False)
    cafile: Path | None = None

    def __str__(self) -> str:
        return f"chdb in {self.path}" if self.path else f"{self.host}:{self.port}"


def address_of(settings: Settings) -> Address:
    """Reads ``clickhouse.dsn``: ``chdb://[/directory][?database=name]`` or ``http(s)://[user[:password]@]host[:port]
    [/database]``. Raises ``StoreError`` (permanent) when it names nothing usable.
    """
    parts = urlsplit(settings.clickhouse.dsn)
    query = parse_qs(parts.query)
    if parts.scheme == "chdb":
        if parts.netloc:
            raise StoreError(
                "LAPWING_CLICKHOUSE__DSN: `chdb://` takes an absolute directory, as in `chdb:///srv/lapwing`",
                permanent=True,
            )
        path = Path(unquote(parts.path)) if parts.path.strip("/") else settings.data_dir.absolute() / "clickhouse"
        return Address(_name(query.get("database", [DATABASE])[0]), path=path, engine=engine_options(settings))
    try:
        port = parts.port
    except ValueError:
        port = -1
    if not parts.hostname or port == -1:
        raise StoreError(
            "LAPWING_CLICKHOUSE__DSN: must name a host, as in `http://localhost:8123/lapwing`", permanent=True
        )
    secure = parts.scheme == "https"
    password = settings.clickhouse.password
    return Address(
        _name(parts.path.strip("/") or query.get("database", [DATABASE])[0]),
        host=parts.hostname,
        port=port or (8443 if secure else 8123),
        secure=secure,
        username=unquote(parts.username or "default"),
        password=password.get_secret_value() if password else unquote(parts.password or ""),
        cafile=settings.clickhouse.ssl_cafile if secure else None,
    )


def _name(database: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w{0,63}", database):
        raise StoreError(f"LAPWING_CLICKHOUSE__DSN: {database!r} cannot be a database's name", permanent=True)
    return database


async def open_store(settings: Settings, role: str) -> Store:
    """A handle for ``role``, its database made when missing. ``close`` it in the end.

    Raises ``StoreError``: permanent when the address, the user or the directory cannot be used, temporary when the
    server is away.
    """
    address = address_of(settings)
    worker = Worker(f"store-{role}", patience=EXIT_SECONDS if address.path else 0.0)
    try:
        client = await worker.run(functools.partial(_opened, address))
    except BaseException:
        worker.stop()
        raise
    return _Clickhouse(address, client, worker)


class _Clickhouse:
    def __init__(self, address: Address, client: Any, worker: Worker) -> None:
        self._address = address
        self._client = client
        self._worker = worker
        self._closed = False

    async def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> list[tuple[Any, ...]]:
        result = await self._call(self._select, sql, parameters, timeout, False)
        return [tuple(row) for row in result.result_rows]

    async def query_columns(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> list[Sequence[Any]]:
        result = await self._call(self._select, sql, parameters, timeout, True)
        if not result.result_columns:
            # chDB says nothing at all about the columns of no rows.
            columns = await self._call(self._select, f"DESCRIBE TABLE ({sql}\n)", parameters, timeout, False)
            return [[] for _ in columns.result_rows]
        return list(result.result_columns)

    async def insert_lines(self, table: str, lines: bytes, *, token: str | None = None) -> None:
        settings: dict[str, Any] = dict(_LINES)
        if token:
            settings["insert_deduplication_token"] = token
        await self._call(self._insert_lines, table, lines, settings)

    async def insert_rows(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            await self._call(
                functools.partial(
                    self._client.insert, table, rows, column_names=list(columns), settings={"async_insert": 0}
                )
            )

    async def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        await self._call(functools.partial(self._client.command, sql, parameters=dict(parameters or {}) or None))

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            closing = self._worker.run(self._client.close)
            self._worker.stop()
            await asyncio.wait({closing}, timeout=CLOSE_SECONDS)

    def _insert_lines(self, table: str, lines: bytes, settings: dict[str, Any]) -> None:
        compression = None
        if self._address.path is None:
            lines, compression = lz4.frame.compress(lines), "lz4"
        self._client.raw_insert(
            table, insert_block=lines, fmt="JSONEachRow", settings=settings, compression=compression
        )

    def _select(self, sql: str, parameters: Mapping[str, Any] | None, timeout: float | None, columns: bool) -> Any:
        return self._client.query(
            sql,
            parameters=dict(parameters or {}) or None,
            settings={"max_execution_time": QUERY_SECONDS if timeout is None else timeout},
            column_oriented=columns,
        )

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        if self._closed:
            raise StoreError("this store handle was closed")
        return await self._worker.run(functools.partial(_translated, self._address, function, *arguments))


def _translated(address: Address, function: Callable[..., T], *arguments: Any) -> T:
    try:
        return function(*arguments)
    except Exception as error:
        raise refusal(error, str(address)) from None


def _opened(address: Address) -> Any:
    try:
        return _connected(address, address.database)
    except StoreError as error:
        if not getattr(error, "no_database", False):
            raise
    # A USE of a database that is not there fails, so make it through a handle that uses none.
    bare = _connected(address, "default")
    try:
        _translated(address, bare.command, f"CREATE DATABASE IF NOT EXISTS `{address.database}`")
    finally:
        bare.close()
    return _connected(address, address.database)


def _connected(address: Address, database: str) -> Any:
    import clickhouse_connect  # takes half a second, so only who has a store pays for it
    from clickhouse_connect.driver import options

    options.pd = options.pd_time_test = options.arrow = None  # or an insert of rows loads them, for data frames: 60 MB

    arguments: dict[str, Any] = {
        "database": database,
        "tz_mode": "aware",
        "show_clickhouse_errors": True,
        "settings": SESSION,
    }
    if address.path:
        from shared.store import lean_chdb  # noqa: F401 - before the client loads chDB

        try:
            address.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreError(f"cannot write to {address.path}: {error.strerror}", permanent=True) from None
        arguments |= {"interface": "chdb", "path": str(address.path), "chdb_options": dict(address.engine)}
    else:
        arguments |= {
            "host": address.host,
            "port": address.port,
            "secure": address.secure,
            "username": address.username,
            "password": address.password,
            "connect_timeout": CONNECT_SECONDS,
            "send_receive_timeout": COMMAND_SECONDS,
            "autogenerate_session_id": False,
            "query_retries": 0,
        }
        if address.cafile:
            arguments["ca_cert"] = str(_readable(address.cafile))
    return _translated(address, functools.partial(clickhouse_connect.get_client, **arguments))


def _readable(cafile: Path) -> Path:
    try:
        ssl.create_default_context(cafile=str(cafile))
    except (OSError, ssl.SSLError) as error:
        raise StoreError(
            f"LAPWING_CLICKHOUSE__SSL_CAFILE: {str(cafile)!r} holds no certificates that can be read "
            f"({error.strerror or 'not PEM'})",
            permanent=True,
        ) from None
    return cafile
