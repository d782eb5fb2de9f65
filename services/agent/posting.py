"""Publishing by HTTP, for an agent that cannot reach the broker: batches go to another Lapwing's ``/api/ingest/``.

What ``shared.bus.port.Publisher`` promises, by the standard library's client in one thread: an agent that posts is
smaller than one that speaks Kafka.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import socket
import ssl
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import urlsplit

from services.agent.replies import Refused, explain, judge
from shared.bus.port import BusError, Receipt
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.selfmetrics import AGENT_REJECTED
from shared.runtime.settings import AgentSettings, SettingsError, is_loopback
from shared.runtime.version import VERSION
from shared.schemas.topics import Topic

log = logging.getLogger(__name__)

PATH = "/api/ingest/"
TIMEOUT = 20.0  # seconds; a Lapwing whose broker forgets takes up to 15 to answer
CONNECT_TIMEOUT = 5.0
MOST_ANSWER = 256 << 10  # bytes
WORTH_PACKING = 512
ENCODINGS = ("zstd", "gzip", "identity")


class Target(NamedTuple):
    """Where to post. ``context`` is there for https only."""

    url: str
    host: str
    port: int
    path: str
    context: ssl.SSLContext | None


class _Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def publisher(settings: AgentSettings, *, clock: Clock | None = None, timeout: float = TIMEOUT) -> HttpPublisher:
    """``timeout``: most seconds a ``publish`` takes. Raises ``SettingsError`` on settings that cannot work."""
    if settings.token is None:
        raise SettingsError(
            "LAPWING_AGENT__URL needs LAPWING_AGENT__TOKEN or LAPWING_AGENT__TOKEN_FILE: "
            "make a token there with `lapwing token create NAME --scope ingest`"
        )
    token = settings.token.get_secret_value().strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError("LAPWING_AGENT__TOKEN: this cannot be a token; it looks like `lw_…_…`")
    return HttpPublisher(target(settings), token, clock or SystemClock(), timeout)


def target(settings: AgentSettings) -> Target:
    """Raises ``SettingsError``."""
    url = (settings.url or "").rstrip("/")
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise SettingsError(f"LAPWING_AGENT__URL: {url!r} names no usable port") from None
    if not parts.hostname:
        raise SettingsError(f"LAPWING_AGENT__URL: {url!r} names no host")
    context = None
    if parts.scheme == "https":
        file = settings.url_cafile
        try:
            context = ssl.create_default_context(cafile=str(file) if file else None)
        except (OSError, ssl.SSLError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise SettingsError(f"LAPWING_AGENT__URL_CAFILE: cannot use {str(file)!r}: {why}") from None
    return Target(url, parts.hostname, port or (443 if context else 80), parts.path + PATH, context)


class HttpPublisher:
    def __init__(self, target: Target, token: str, clock: Clock, timeout: float) -> None:
        self._target = target
        self._token = token
        self._called = token.rpartition("_")[0] or "(unnamed)"  # without its secret
        self._clock = clock
        self._timeout = timeout
        self._encoding = 0
        self._connection: http.client.HTTPConnection | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._not_before = 0.0
        self._reason = ""
        self._complained = False

    async def start(self) -> None:
        if self._target.context is None and not is_loopback(self._target.host):
            log.warning(
                "events and the agent token go to another machine UNENCRYPTED: use https://",
                extra={"url": self._target.url},
            )
        self._thread = ThreadPoolExecutor(1, "agent-post")

    async def publish(
        self, topic: Topic, key: str, value: bytes | None, headers: Mapping[str, bytes] | None = None
    ) -> Receipt:
        """As the port says; where the broker will keep the message is not known. Lines that will never be taken are
        counted, and the first is logged: they do not hold up the others.
        """
        if self._thread is None:
            raise BusError("this publisher was stopped")
        if self._clock.monotonic() < self._not_before:
            raise BusError(self._reason)
        value = value or b""
        encoding, body = self._packed(value)
        sent = self._headers(encoding, headers or {})
        attempt = _Attempt()
        try:
            async with asyncio.timeout(self._timeout):
                answer = await asyncio.get_running_loop().run_in_executor(
                    self._thread, self._exchange, body, sent, attempt
                )
        except asyncio.CancelledError:
            self._give_up(attempt)
            raise
        except (OSError, http.client.HTTPException) as error:
            self._give_up(attempt)
            raise BusError(explain(error, self._target.url, self._timeout)) from None
        self._weigh(answer, sum(1 for line in value.split(b"\n") if line.strip()))
        return Receipt(topic.name, 0, -1)

    async def stop(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=False, cancel_futures=True)
            self._hang_up()

    def _weigh(self, answer: _Answer, lines: int) -> None:
        """Raises ``BusError`` where the batch was not taken."""
        verdict = judge(
            answer.status, answer.headers, answer.body, lines=lines, where=self._target.url, token=self._called
        )
        if isinstance(verdict, Refused):
            if verdict.unknown_encoding:
                self._encoding = min(self._encoding + 1, len(ENCODINGS) - 1)
            self._not_before = self._clock.monotonic() + verdict.wait
            self._reason = verdict.reason
            raise BusError(verdict.reason, permanent=verdict.permanent)
        if verdict.rejected:
            AGENT_REJECTED.add(verdict.rejected)
            if not self._complained:
                self._complained = True
                log.error(
                    "events were rejected for good; from here on they are only counted",
                    extra={"events": verdict.rejected, "reason": verdict.reason[:500]},
                )

    def _packed(self, value: bytes) -> tuple[str, bytes]:
        encoding = ENCODINGS[self._encoding] if len(value) >= WORTH_PACKING else "identity"
        if encoding == "zstd":
            import cramjam  # two megabytes that an agent which publishes to a broker loads when it does

            return encoding, bytes(cramjam.zstd.compress(value, 3))
        if encoding == "gzip":
            packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
            return encoding, packer.compress(value) + packer.flush()
        return encoding, value

    def _headers(self, encoding: str, headers: Mapping[str, bytes]) -> dict[str, str]:
        sent = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/x-ndjson",
            "Content-Encoding": encoding,
            "Accept-Language": "en",
            "User-Agent": f"lapwing-agent/{VERSION}",
        }
        return sent | {name: text.decode("latin-1") for name, text in headers.items()}

    # -- in the thread -----------------------------------------------------------------------------------------------

    def _exchange(self, body: bytes, headers: Mapping[str, str], attempt: _Attempt) -> _Answer:
        """One request and its answer. A kept connection that turns out to be closed is replaced once."""
        kept = self._connection is not None
        try:
            try:
                return self._ask(body, headers, attempt)
            except (ConnectionError, ssl.SSLEOFError):
                if not kept or attempt.given_up:
                    raise
                self._drop()
                return self._ask(body, headers, attempt)
        except BaseException:
            self._drop()
            raise

    def _ask(self, body: bytes, headers: Mapping[str, str], attempt: _Attempt) -> _Answer:
        connection = self._connected()
        attempt.connection = connection
        if attempt.given_up:
            raise ConnectionError("given up")
        # Who refuses a body may answer, and hang up, before it has been sent: hear them all the same.
        with suppress(BrokenPipeError):
            connection.request("POST", self._target.path, body, dict(headers))
        response = connection.getresponse()
        answer = response.read(MOST_ANSWER)
        if not response.isclosed():
            self._drop()  # there is more of it, which we do not want
        return _Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, answer)

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None or self._connection.sock is None:
            host, port, context = self._target.host, self._target.port, self._target.context
            connection = (
                http.client.HTTPSConnection(host, port, timeout=CONNECT_TIMEOUT, context=context)
                if context
                else http.client.HTTPConnection(host, port, timeout=CONNECT_TIMEOUT)
            )
            connection.connect()
            connection.sock.settimeout(self._timeout)
            self._connection = connection
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # -- from outside of the thread ----------------------------------------------------------------------------------

    def _give_up(self, attempt: _Attempt) -> None:
        """What is still under way ends soon, and is not begun again."""
        attempt.given_up = True
        if attempt.connection is not None:
            _shut(attempt.connection)

    def _hang_up(self) -> None:
        if self._connection is not None:
            _shut(self._connection)


class _Attempt:
    def __init__(self) -> None:
        self.connection: http.client.HTTPConnection | None = None
        self.given_up = False


def _shut(connection: http.client.HTTPConnection) -> None:
    """Ends what a thread waits for on it; closing is that thread's business."""
    sock = connection.sock
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
