"""The store: what the services need of ClickHouse, and what they may rely on.

One driver: ``shared.store.clickhouse`` (clickhouse-connect), the same for the embedded engine and a server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class StoreError(RuntimeError):
    """The store refused or could not be reached. ``permanent`` answers: again, or never?

    Temporary: away, overloaded, out of memory or disk. Permanent: the statement or its data is wrong.
    """

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


class DataRefused(StoreError):
    """Permanent, and because of the data alone: the same statement with other data would do."""

    def __init__(self, message: str) -> None:
        super().__init__(message, permanent=True)


class Store(Protocol):
    """One handle for one role (``writer``, ``reader``, ``housekeeper``): a handle does one thing at a time, so a slow
    question on one never delays an insert on another (FACTS). All methods may be called from any task.
    """

    async def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> list[tuple[Any, ...]]:
        """Rows of a SELECT with server-side bound parameters (``{name:Type}``), never text pasted into SQL."""
        ...

    async def query_columns(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> list[Sequence[Any]]:
        """The same, column by column (empty ones where there are no rows): faster for long series.

        Columns of time come back as aware ``datetime`` in UTC; ``toUnixTimestamp64Milli(ts)`` is cheaper.
        """
        ...

    async def insert_lines(self, table: str, lines: bytes, *, token: str | None = None) -> None:
        """JSON lines into ``table`` and through its views. A normal return guarantees that all of it is durable.

        Repeats are harmless by the tables' keys; ``token`` spares even the work where a table keeps a deduplication
        window. Raises ``StoreError``; ``DataRefused`` when it is a line's fault, and then what cannot be parsed has
        stored nothing.
        """
        ...

    async def insert_rows(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Rows into ``table``; durable on return."""
        ...

    async def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """DDL and housekeeping."""
        ...

    async def close(self) -> None: ...
