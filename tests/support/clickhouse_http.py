"""A ClickHouse server's HTTP interface over the embedded engine, as much of it as our client uses, on loopback.

Not a server: no users but one password, no compression, no sessions. It is here so that the same tests drive the code
that speaks to servers.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import re
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import chdb
import lz4.frame
from clickhouse_connect.driver._backend.chdb_backend import CHDB_TRANSPORT_SETTINGS

from tests.support.store import engine_dir

PASSWORD = "secret"
_NOT_SETTINGS = {"query", *CHDB_TRANSPORT_SETTINGS}
_numbers = itertools.count()


class Front(ThreadingHTTPServer):
    """``address`` is ``host:port``; ``failure`` (status, body) is answered instead of asking the engine; with ``hang``
    nothing is answered until it is set.
    """

    daemon_threads = True
    failure: tuple[int, str] | None = None
    hang: threading.Event | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Front

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        self._answer(_decompressed(body, self.headers.get("Content-Encoding")))

    def _answer(self, body: bytes) -> None:
        url = urlsplit(self.path)
        arguments = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        try:
            if url.path == "/ping":
                return self._send(200, b"Ok.\n")
            if self.server.hang:
                self.server.hang.wait(60)
            if self.server.failure:
                return self._send(self.server.failure[0], self.server.failure[1].encode())
            if f"default:{PASSWORD}" != self._credentials():
                return self._send(403, b"Code: 516. DB::Exception: default: Authentication failed", code=516)
            self._send(200, _execute(arguments, body))
        except Exception as error:
            text = str(error)
            found = re.search(r"Code: (\d+)", text)
            self._send(500, text.encode(), code=int(found[1]) if found else 1002)

    def _credentials(self) -> str:
        return base64.b64decode((self.headers.get("Authorization") or "").removeprefix("Basic ")).decode()

    def _send(self, status: int, body: bytes, *, code: int | None = None) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-ClickHouse-Exception-Code", str(code))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def _decompressed(body: bytes, encoding: str | None) -> bytes:
    """The client sends a frame a block, so there may be several."""
    if encoding is None:
        return body
    assert encoding == "lz4", encoding
    out = b""
    while body:
        frame = lz4.frame.LZ4FrameDecompressor()
        out += frame.decompress(body)
        body = frame.unused_data or b""
    return out


def _execute(arguments: dict[str, str], body: bytes) -> bytes:
    connection: Any = chdb.connect(str(engine_dir().resolve()))
    try:
        if database := arguments.get("database"):
            connection.query(f"USE `{database}`")
        for name, value in arguments.items():
            if name not in _NOT_SETTINGS and not name.startswith("param_"):
                quoted = value.replace("\\", "\\\\").replace("'", "\\'")
                connection.query(f"SET {name} = '{quoted}'")
        parameters = {name[6:]: value for name, value in arguments.items() if name.startswith("param_")}
        query = arguments.get("query", "")
        head, _, rest = body.partition(b"\n")
        if re.match(r"\s*INSERT\b.*\bFORMAT \w+\s*$", query, re.S):
            return _insert(connection, query, body)
        if not query and re.match(rb"INSERT INTO .* FORMAT Native$", head):
            return _insert(connection, head.decode(), rest)
        sql = query + ("\n" if query and body else "") + body.decode()
        return bytes(connection.query(sql, "TabSeparated", params=parameters).bytes() or b"")
    finally:
        connection.close()


def _insert(connection: Any, statement: str, data: bytes) -> bytes:
    into, _, form = statement.rpartition("FORMAT")
    path = Path(tempfile.gettempdir()) / f"lapwing-front-{id(connection)}-{next(_numbers)}"
    path.write_bytes(data)
    try:
        connection.query(f"{into} FROM INFILE '{path}' FORMAT {form.strip()}")
    finally:
        path.unlink()
    return b""


@contextlib.contextmanager
def clickhouse_http() -> Iterator[Front]:
    front = Front(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=front.serve_forever, daemon=True)
    thread.start()
    try:
        yield front
    finally:
        front.shutdown()
        front.server_close()
