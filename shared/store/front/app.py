"""The ASGI application: reads a request, lets threads ask the engine, and sends what comes as it comes."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from shared.runtime.version import VERSION
from shared.store.front import engine as asking
from shared.store.front import statement
from shared.store.front.asked import Asked, asked, credentials
from shared.store.front.blocks import BlockDecoder, BlockEncoder
from shared.store.front.encodings import Decoder, Plain, accepted, decoder, encoder
from shared.store.front.engine import Answer, Engine, Insertion
from shared.store.front.refusal import (
    AUTHENTICATION,
    BAD_ARGUMENTS,
    NOT_IMPLEMENTED,
    TOO_LARGE,
    TOO_MANY_QUERIES,
    UNKNOWN,
    Refused,
)
from shared.store.front.users import READER, WRITER, Users

log = logging.getLogger(__name__)

T = TypeVar("T")
Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

AT_ONCE = 8  # requests of each user that are at work
WAITING = 64  # of each user that wait for their turn
LONGEST_QUESTION = 16 << 20  # bytes of a statement
LONGEST_BODY = 4 << 30  # bytes of an insert, decompressed
PIECE = 1 << 18  # bytes that go into the engine at a time

_OPEN = {"/ping": b"Ok.\n", "/replicas_status": b"Ok.\n"}


class Front:
    """``close`` lets go of the threads; requests under way end by themselves or with their connection."""

    def __init__(self, engine: Engine, users: Users) -> None:
        self._engine = engine
        self._users = users
        self._threads = ThreadPoolExecutor(2 * AT_ONCE, thread_name_prefix="store-front")
        self._turns = {user: asyncio.Semaphore(AT_ONCE) for user in (WRITER, READER)}
        self._waiting = dict.fromkeys(self._turns, 0)
        self.closing = False

    def close(self) -> None:
        self.closing = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        reply = _Reply(send)
        try:
            await self._serve(scope, receive, reply)
        except Refused as refused:
            await reply.refuse(refused)
        except _Gone:
            return
        except Exception:
            log.exception("a request to the store failed")
            await reply.refuse(Refused(UNKNOWN, "the front of the store failed; its log says why"))

    async def _serve(self, scope: Scope, receive: Receive, reply: _Reply) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        path, method, query = scope["path"], scope["method"], scope["query_string"]
        if path in _OPEN or (path == "/" and method in ("GET", "HEAD") and b"query=" not in query):
            await reply.whole(200, _OPEN.get(path, b"Ok.\n"))
            return
        if path != "/":
            raise Refused(
                BAD_ARGUMENTS, f"There is no handle {path[:100]}. Use / or /ping for health checks", status=404
            )
        if method not in ("GET", "HEAD", "POST"):
            raise Refused(BAD_ARGUMENTS, f"Invalid HTTP method {method}", status=405)
        given = credentials(query, headers)
        user = self._users.user_of(given)
        if user is None:
            name = given.user if given else "default"
            reply.headers.append((b"www-authenticate", b'Basic realm="ClickHouse server HTTP API"'))
            raise Refused(
                AUTHENTICATION,
                f"{name[:60]}: Authentication failed: password is incorrect, or there is no user with such name",
                status=403 if given else 401,
            )
        body = _Body(receive, headers)
        request = asked(query, headers)
        if headers.get("content-type", "").startswith("multipart/form-data"):
            raise Refused(NOT_IMPLEMENTED, "forms and external data are not known here")
        reply.begin(request, headers)
        async with self._turn(user):
            await self._carry_out(user, request, body, reply, read_only=method != "POST")

    def _turn(self, user: str) -> _Turn:
        return _Turn(self._turns[user], self._waiting, user)

    async def _carry_out(self, user: str, request: Asked, body: _Body, reply: _Reply, *, read_only: bool) -> None:
        if request.decompress:
            body.unpack(BlockDecoder())
        text = request.query.encode()
        joint = b"\n" if text else b""
        if statement.first_word(request.query) not in ("", "INSERT"):
            text += joint + await body.rest(LONGEST_QUESTION)
        else:
            head = await body.head(statement.LONGEST_HEAD)
            text += joint + head if head else b""
            word = statement.first_word(text[: statement.LONGEST_HEAD].decode("utf-8", errors="replace"))
            if word == "INSERT" and not read_only:
                insert = statement.insert_of(text)
                if insert and not (insert.form == "Values" and request.parameters):
                    await self._insert(user, request, insert, text[insert.data_at :], body, reply)
                    return
            text += await body.rest(LONGEST_QUESTION)
        try:
            question = text.decode()
        except UnicodeDecodeError:
            raise Refused(62, "Syntax error: the query is not UTF-8 (SYNTAX_ERROR)") from None
        if not question.strip():
            raise Refused(62, "Syntax error: Empty query (SYNTAX_ERROR)")
        answer = await self._in_thread(
            functools.partial(asking.answer, self._engine, user, request, question, read_only=read_only)
        )
        await self._send(answer, body, reply)

    async def _send(self, answer: Answer, body: _Body, reply: _Reply) -> None:
        gone = asyncio.ensure_future(body.gone())
        try:
            await reply.start(answer)
            while (piece := await self._in_thread(answer.next)) is not None:
                if gone.done():
                    raise _Gone
                await reply.send(piece)
            await reply.end()
        except Refused as refused:
            await reply.break_off(refused)
        finally:
            gone.cancel()
            await self._in_thread(answer.close)

    async def _insert(
        self, user: str, request: Asked, insert: statement.Insert, data: bytes, body: _Body, reply: _Reply
    ) -> None:
        insertion = await self._in_thread(functools.partial(Insertion, self._engine, user, request, insert))
        try:
            while True:
                while len(data) < PIECE and (piece := await body.next()) is not None:
                    data += piece
                if not data:
                    break
                await self._in_thread(functools.partial(insertion.append, data))
                data = b""
            summary = await self._in_thread(insertion.finish)
        finally:
            await self._in_thread(insertion.close)
        await reply.done(summary)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Waits for the thread even when cancelled meanwhile: a handle must not be let go of while it is at work."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait({running})
            raise


class _Gone(Exception):
    """The client has hung up."""


class _Turn:
    def __init__(self, turns: asyncio.Semaphore, waiting: dict[str, int], user: str) -> None:
        self._turns, self._waiting, self._user = turns, waiting, user

    async def __aenter__(self) -> None:
        if self._turns.locked() and self._waiting[self._user] >= WAITING:
            raise Refused(TOO_MANY_QUERIES, f"Too many simultaneous queries of {self._user}")
        self._waiting[self._user] += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting[self._user] -= 1

    async def __aexit__(self, *_: object) -> None:
        self._turns.release()


class _Body:
    """The request's body, decompressed, piece by piece; bounded in all."""

    def __init__(self, receive: Receive, headers: Mapping[str, str]) -> None:
        self._receive = receive
        self._decoder: Decoder = decoder(headers.get("content-encoding", ""))
        self._blocks: Decoder = Plain()
        self._ended = False
        self._size = 0

    def unpack(self, blocks: Decoder) -> None:
        """What comes out of HTTP's encoding is packed once more."""
        self._blocks = blocks

    async def next(self) -> bytes | None:
        """None at the end. Raises ``_Gone`` where the client hangs up before it, ``Refused`` on what it cannot be."""
        if self._ended:
            return None
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        data = self._blocks.feed(self._decoder.feed(message.get("body", b"")))
        if not message.get("more_body"):
            self._ended = True
            data += self._blocks.feed(self._decoder.end()) + self._blocks.end()
        self._size += len(data)
        if self._size > LONGEST_BODY:
            raise Refused(TOO_LARGE, f"the body is longer than {LONGEST_BODY} bytes")
        return data

    async def head(self, size: int) -> bytes:
        """The first ``size`` bytes or more, or all there is."""
        out = b""
        while len(out) < size and (piece := await self.next()) is not None:
            out += piece
        return out

    async def rest(self, most: int) -> bytes:
        out = bytearray()
        while (piece := await self.next()) is not None:
            out += piece
            if len(out) > most:
                raise Refused(TOO_LARGE, f"a statement may have {most} bytes at most")
        return bytes(out)

    async def gone(self) -> None:
        """Returns when the client hangs up."""
        while (await self._receive())["type"] != "http.disconnect":
            continue


class _Reply:
    def __init__(self, send: Send) -> None:
        self.headers: list[tuple[bytes, bytes]] = [(b"server", f"lapwing/{VERSION}".encode())]
        self._send = send
        self._encoding = ""
        self._encoder = encoder("")
        self._started = False
        self._packs = False
        self._tag = secrets.token_hex(8)

    def begin(self, request: Asked, headers: Mapping[str, str]) -> None:
        self.headers.append((b"x-clickhouse-query-id", (request.query_id or asking.new_query_id()).encode()[:200]))
        self.headers.append((b"x-clickhouse-timezone", b"UTC"))
        self._packs = request.compress
        if request.may_encode and not request.compress:
            self._encoding = accepted(headers.get("accept-encoding", ""))

    async def start(self, answer: Answer) -> None:
        if answer.form:
            self.headers.append((b"x-clickhouse-format", answer.form.encode()))
        self.headers.append((b"x-clickhouse-summary", json.dumps(answer.summary).encode()))
        self.headers.append((b"content-type", _TYPES.get(answer.form, b"text/plain; charset=UTF-8")))
        self.headers.append((b"x-clickhouse-exception-tag", self._tag.encode()))
        if self._packs:
            self._encoder = BlockEncoder()
        if self._encoding:
            self.headers.append((b"content-encoding", self._encoding.encode()))
            self._encoder = encoder(self._encoding)
        await self._start(200)

    async def send(self, piece: bytes) -> None:
        await self._body(self._encoder.feed(piece), more=True)

    async def end(self) -> None:
        await self._body(self._encoder.end(), more=False)

    async def break_off(self, refused: Refused) -> None:
        """After the head is out: the error at the end of the body, where clients look for it."""
        text = str(refused)
        size = len(text.encode()) + 1
        tail = f"\r\n__exception__\r\n{self._tag}\r\n{text}\n{size} {self._tag}\r\n__exception__\r\n"
        await self._body(self._encoder.feed(tail.encode()) + self._encoder.end(), more=False)

    async def done(self, summary: Mapping[str, str]) -> None:
        self.headers.append((b"x-clickhouse-summary", json.dumps(summary).encode()))
        await self.whole(200, b"")

    async def whole(self, status: int, body: bytes) -> None:
        self.headers.append((b"content-length", str(len(body)).encode()))
        await self._start(status)
        await self._body(body, more=False)

    async def refuse(self, refused: Refused) -> None:
        if self._started:
            return
        self.headers.append((b"x-clickhouse-exception-code", str(refused.code).encode()))
        self.headers.append((b"content-type", b"text/plain; charset=UTF-8"))
        body = f"{refused}\n".encode()
        await self.whole(refused.status, BlockEncoder().feed(body) if self._packs else body)

    async def _start(self, status: int) -> None:
        self._started = True
        await self._send({"type": "http.response.start", "status": status, "headers": self.headers})

    async def _body(self, data: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})


_TYPES = {
    "Native": b"application/octet-stream",
    "RowBinary": b"application/octet-stream",
    "JSON": b"application/json; charset=UTF-8",
    "JSONCompact": b"application/json; charset=UTF-8",
    "JSONEachRow": b"application/x-ndjson; charset=UTF-8",
    "CSV": b"text/csv; charset=UTF-8; header=absent",
    "TabSeparated": b"text/tab-separated-values; charset=UTF-8",
}
