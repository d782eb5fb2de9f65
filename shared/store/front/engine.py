"""Asking chDB: a handle of its own for every request, so that nothing one asks for stays behind for the next.

Everything here blocks and belongs into a thread. A handle costs about a millisecond.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from shared.store.engine_options import SESSION
from shared.store.front import reader, statement
from shared.store.front.asked import Asked
from shared.store.front.blocks import empty_native
from shared.store.front.native import with_revision
from shared.store.front.refusal import NO_ROOM, EngineRefused, Refused
from shared.store.front.roles import READER_ROLE
from shared.store.front.users import READER

QUERY_SECONDS = {READER: 60}
WRITER_SECONDS = 600
PIECE = 1 << 20


class Engine:
    """The embedded engine in ``path``. It must be opened before anyone else in this process opens it, or the reader's
    role is unknown to it and every question of the reader is refused. ``scratch`` is where data waits for its insert.
    """

    def __init__(self, path: Path, options: Mapping[str, object], scratch: Path) -> None:
        self.scratch = scratch
        self._path = path
        self._options = options
        self._kept: Any = None

    def open(self) -> None:
        """Raises ``StoreError`` as ``open_store`` does."""
        from shared.store.lean_chdb import connect
        from shared.store.refusals import refusal

        self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._kept = connect(f"{self._path}?{urlencode(self._options, safe='/')}")
        except Exception as error:
            raise refusal(error, f"chdb in {self._path}") from None

    def close(self) -> None:
        kept, self._kept = self._kept, None
        if kept:
            kept.close()

    def handle(self, user: str, request: Asked, *, read_only: bool) -> Any:
        """Raises ``Refused``."""
        from shared.store.lean_chdb import connect

        with refusing():
            handle = connect(str(self._path))
        try:
            with refusing():
                _prepare(handle, user, request, read_only)
        except BaseException:
            handle.close()
            raise
        return handle


def _prepare(handle: Any, user: str, request: Asked, read_only: bool) -> None:
    reads = user == READER
    settings = {name: str(value) for name, value in SESSION.items()}
    settings["max_execution_time"] = str(QUERY_SECONDS.get(user, WRITER_SECONDS))
    settings |= reader.settings(request.settings, QUERY_SECONDS[READER]) if reads else request.settings
    if reads:
        reader.check_database(request.database)
        handle.query(f"SET ROLE {READER_ROLE}")
    if request.database:
        handle.query(f"USE {_name(request.database)}")
    last = settings.pop("readonly", None)
    for name, value in settings.items():
        handle.query(f"SET {name} = {_string(value)}")
    if reads:
        handle.query("SET readonly = 1")
    elif read_only:
        handle.query("SET readonly = 2")
    elif last is not None:
        handle.query(f"SET readonly = {_string(last)}")


class Answer:
    """Pieces of an answer, the first of them there already: what fails at once has failed before there is one.

    ``form`` is empty where nothing was asked for that has an answer.
    """

    def __init__(self, form: str, pieces: Iterator[bytes], summary: dict[str, str]) -> None:
        self.form = form
        self.summary = summary
        self._pieces = pieces
        self._first: bytes | None = next(pieces, None)

    def next(self) -> bytes | None:
        """Raises ``Refused`` where the query fails on the way."""
        piece, self._first = self._first, None
        return piece if piece is not None else next(self._pieces, None)

    def close(self) -> None:
        self._pieces.close()  # type: ignore[attr-defined]


def answer(engine: Engine, user: str, request: Asked, text: str, *, read_only: bool) -> Answer:
    """Raises ``Refused``. ``close`` it in the end."""
    handle = engine.handle(user, request, read_only=read_only)
    try:
        if user == READER:
            with refusing():
                reader.check(handle, text, request.parameters)
        form, streams = statement.format_of(text, request.form)
        if streams and statement.first_word(text) in ("SELECT", "WITH", "FROM") and "TOTALS" not in text.upper():
            return Answer(form, _streamed(handle, request, text, form), {})
        with refusing():
            result = handle.query(text, request.form, params=request.parameters)
    except BaseException:
        handle.close()
        raise
    return _whole(handle, result, form, text, request)


def _whole(handle: Any, result: Any, form: str, text: str, request: Asked) -> Answer:
    try:
        body = bytes(result.bytes() or b"")
        asks = statement.asks(text)
        if not body and asks and form == "Native":
            body = _no_rows(handle, text, request.parameters)
        if form == "Native":
            body = with_revision(body, request.revision)
        return Answer(form if asks or body else "", _pieces(body), _summary(result))
    finally:
        handle.close()


def _pieces(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), PIECE):
        yield body[at : at + PIECE]


def _streamed(handle: Any, request: Asked, text: str, form: str) -> Iterator[bytes]:
    stream: Any = None
    some = False
    try:
        with refusing():
            stream = handle.send_query(text, request.form, params=request.parameters)
        while True:
            with refusing():
                block = stream.fetch()
            if block is None:
                break
            if piece := bytes(block.bytes() or b""):
                some = True
                yield with_revision(piece, request.revision) if form == "Native" else piece
        if not some and form == "Native":
            yield with_revision(_no_rows(handle, text, request.parameters), request.revision)
    finally:
        with contextlib.suppress(Exception):
            if stream is not None:
                stream.close()
        handle.close()


def _no_rows(handle: Any, text: str, parameters: dict[str, str]) -> bytes:
    """A server says what the columns of no rows are; chDB says nothing at all."""
    inner = statement.without_format(text)
    try:
        described = handle.query(f"DESCRIBE TABLE ({inner}\n)", "JSONCompact", params=parameters)
    except Exception:
        return b""
    return empty_native([(row[0], row[1]) for row in json.loads(bytes(described.bytes()))["data"]])


class Insertion:
    """Data on its way into a table; nothing is promised before ``finish`` returns.

    It waits in a file without a name. chDB could take it piece by piece (``send_insert``), but then says that all is
    well whatever becomes of it: no room on the disk, a broken constraint, a view that throws.
    """

    def __init__(self, engine: Engine, user: str, request: Asked, insert: statement.Insert) -> None:
        if user == READER:
            raise Refused(497, "reader: Not enough privileges. The user `reader` may only read")
        self._insert = insert
        with _room():
            self._data = tempfile.TemporaryFile(dir=engine.scratch)  # noqa: SIM115
        try:
            self._handle = engine.handle(user, request, read_only=False)
        except BaseException:
            self._data.close()
            raise

    def append(self, data: bytes) -> None:
        with _room():
            self._data.write(data)

    def finish(self) -> dict[str, str]:
        """Durable when it returns the summary."""
        with _room():
            self._data.flush()
        with refusing():
            done = self._handle.query(self._insert.from_file(f"/dev/fd/{self._data.fileno()}"))
        return {"written_rows": str(done.rows_read()), "written_bytes": str(done.bytes_read())}

    def close(self) -> None:
        self._handle.close()
        with contextlib.suppress(OSError):  # what could not be written will not be now
            self._data.close()


@contextlib.contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refused(NO_ROOM, f"The data of an INSERT cannot be put aside: {error.strerror}") from None


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    try:
        yield
    except Refused:
        raise
    except Exception as error:
        raise EngineRefused(error) from None


def _summary(result: Any) -> dict[str, str]:
    return {"read_rows": str(result.rows_read()), "read_bytes": str(result.bytes_read())}


def _name(text: str) -> str:
    return "`" + text.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _string(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def new_query_id() -> str:
    return str(uuid.uuid4())
