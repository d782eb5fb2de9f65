"""The agent's publisher by HTTP, against a server that does as it is told."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import cramjam
import pytest

from services import compose
from services.agent import posting, service
from services.agent.posting import HttpPublisher
from services.agent.replies import STUBBORN_WAIT
from shared.bus.port import BusError, Receipt
from shared.runtime.clock import ManualClock
from shared.runtime.selfmetrics import AGENT_REJECTED
from shared.runtime.settings import AgentSettings, Settings, SettingsError
from shared.schemas.topics import METRICS
from tests.support.tls import authority
from tests.support.waiting import eventually

TOKEN = "lw_0f1e2d3c4b5a6978_" + "5" * 48
LINES = b'{"n": 1}\n{"n": 2}'


class Request(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def lines(self) -> bytes:
        unpack: dict[str, Callable[[bytes], Any]] = {"gzip": gzip.decompress, "zstd": cramjam.zstd.decompress}
        return bytes(unpack.get(self.headers["content-encoding"], bytes)(self.body))


def answer(status: int = 200, *, accepted: int = 2, rejected: list[Any] | None = None, **headers: str) -> bytes:
    rejected = rejected or []
    data = {"accepted": accepted, "rejected_count": len(rejected), "rejected": rejected}
    envelope: dict[str, Any] = {"success": status == 200, "code": status, "message": "told so"}
    body = json.dumps(envelope | ({"data": data} if status == 200 else {})).encode()
    more = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in headers.items())
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


class Server:
    """``reply`` decides what is said to each request; ``None`` hangs up, a string says nothing at all."""

    def __init__(self) -> None:
        self.reply: Callable[[Request], bytes | str | None] = lambda request: answer()
        self.requests: list[Request] = []
        self.connections = 0
        self.port = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
                body = await reader.readexactly(int(headers["content-length"]))
                self.requests.append(Request(head[0].split(" ")[1], headers, body))
                said = self.reply(self.requests[-1])
                if said is None:
                    break
                if isinstance(said, str):
                    await asyncio.Event().wait()
                else:
                    writer.write(said)
        writer.close()

    def hang_up(self) -> None:
        for writer in self.writers:
            writer.close()
        self.writers.clear()


@asynccontextmanager
async def serving(context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        server.hang_up()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as it:
        yield it


@asynccontextmanager
async def posting_to(
    url: str, *, timeout: float = 10.0, clock: Any = None, **agent: Any
) -> AsyncIterator[HttpPublisher]:
    settings = AgentSettings.model_validate({"url": url, "token": TOKEN, **agent})
    it = posting.publisher(settings, clock=clock or ManualClock(), timeout=timeout)
    await it.start()
    try:
        yield it
    finally:
        await it.stop()


async def test_a_batch_goes_packed_with_the_token_over_one_connection(server: Server) -> None:
    async with posting_to(f"http://127.0.0.1:{server.port}/behind/a/proxy/") as bus:
        assert await bus.publish(METRICS, "h", LINES) == Receipt(METRICS.name, 0, -1)
        large = b"\n".join([b'{"pad": "' + b"x" * 1000 + b'"}'] * 2)
        await bus.publish(METRICS, "h", large, {"lapwing-spooled": b"1"})
    first, second = server.requests
    assert first.path == "/behind/a/proxy/api/ingest/"
    assert first.headers["authorization"] == f"Bearer {TOKEN}"
    assert first.headers["content-encoding"] == "identity", "packing so little gains nothing"
    assert "lapwing-spooled" not in first.headers
    assert first.lines == LINES
    assert second.headers["content-encoding"] == "zstd"
    assert second.headers["lapwing-spooled"] == "1"
    assert second.lines == large
    assert server.connections == 1


async def test_a_kept_connection_that_was_closed_is_replaced(server: Server) -> None:
    async with posting_to(f"http://127.0.0.1:{server.port}") as bus:
        for _ in range(3):
            await bus.publish(METRICS, "h", LINES)
            server.hang_up()
            await eventually(lambda: not server.writers)
    assert server.connections == 3
    assert len(server.requests) == 3


async def test_a_fresh_connection_that_is_closed_is_an_error(server: Server) -> None:
    server.reply = lambda request: None
    async with posting_to(f"http://127.0.0.1:{server.port}") as bus:
        with pytest.raises(BusError, match="closed the connection") as error:
            await bus.publish(METRICS, "h", LINES)
        assert not error.value.permanent
        server.reply = lambda request: answer()
        await bus.publish(METRICS, "h", LINES)


async def test_a_server_that_says_nothing_is_waited_for_no_longer_than_promised(server: Server) -> None:
    server.reply = lambda request: "nothing"
    async with posting_to(f"http://127.0.0.1:{server.port}", timeout=0.3) as bus:
        for _ in range(2):
            with pytest.raises(BusError, match=r"0\.3 s"):
                await bus.publish(METRICS, "h", LINES)
        server.reply = lambda request: answer()
        await bus.publish(METRICS, "h", LINES)


async def test_who_is_cancelled_lets_go_of_the_connection(server: Server) -> None:
    server.reply = lambda request: "nothing"
    async with posting_to(f"http://127.0.0.1:{server.port}") as bus:
        attempt = asyncio.create_task(bus.publish(METRICS, "h", LINES))
        await eventually(lambda: server.requests)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        server.reply = lambda request: answer()
        await bus.publish(METRICS, "h", LINES)
    with pytest.raises(BusError, match="stopped"):
        await bus.publish(METRICS, "h", LINES)


async def test_too_large_is_permanent(server: Server) -> None:
    server.reply = lambda request: answer(413)
    async with posting_to(f"http://127.0.0.1:{server.port}") as bus:
        with pytest.raises(BusError) as error:
            await bus.publish(METRICS, "h", LINES)
        assert error.value.permanent


@pytest.mark.parametrize(("status", "wait"), [(429, 7), (503, 7), (401, STUBBORN_WAIT)])
async def test_it_does_not_knock_before_it_may(server: Server, status: int, wait: float) -> None:
    clock = ManualClock()
    server.reply = lambda request: answer(status, Retry_After="7")
    async with posting_to(f"http://127.0.0.1:{server.port}", clock=clock) as bus:
        for _ in range(3):
            with pytest.raises(BusError) as error:
                await bus.publish(METRICS, "h", LINES)
            assert not error.value.permanent
            assert TOKEN not in str(error.value)
        assert len(server.requests) == 1
        server.reply = lambda request: answer()
        clock.advance(wait)
        await bus.publish(METRICS, "h", LINES)


async def test_rejected_events_are_counted_and_said_once(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.reply = lambda request: answer(accepted=1, rejected=[{"line": 2, "reason": "ts: too late"}])
    before = AGENT_REJECTED.value()
    async with posting_to(f"http://127.0.0.1:{server.port}") as bus:
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                await bus.publish(METRICS, "h", LINES)
    assert AGENT_REJECTED.value() - before == 3
    (said,) = [r for r in caplog.records if "rejected" in r.message]
    assert said.reason == "ts: too late"  # type: ignore[attr-defined]


async def test_an_encoding_the_other_side_does_not_know_is_given_up(server: Server) -> None:
    server.reply = lambda request: answer(415 if request.headers["content-encoding"] != "identity" else 200)
    large = b"\n".join([b'{"pad": "' + b"x" * 1000 + b'"}'] * 2)
    async with posting_to(f"http://127.0.0.1:{server.port}") as bus:
        for _ in range(2):
            with pytest.raises(BusError):
                await bus.publish(METRICS, "h", large)
        await bus.publish(METRICS, "h", large)
    assert [r.headers["content-encoding"] for r in server.requests] == ["zstd", "gzip", "identity"]
    assert all(r.lines == large for r in server.requests)


async def test_an_early_refusal_is_heard_though_the_body_was_not_read() -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(413))
        await writer.drain()
        writer.write_eof()
        with suppress(OSError):
            await reader.read()
        writer.close()

    listener = await asyncio.start_server(rude, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with posting_to(f"http://127.0.0.1:{port}") as bus:
        with pytest.raises(BusError) as error:
            await bus.publish(METRICS, "h", b"\n".join([b'{"n": 1}'] * 2))
        assert error.value.permanent
    listener.close()


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\0\0\0\0\r\n"])
async def test_something_that_is_no_http_is_one_sentence(server: Server, said: bytes) -> None:
    server.reply = lambda request: said
    async with posting_to(f"http://127.0.0.1:{server.port}") as bus:
        with pytest.raises(BusError, match="does not speak HTTP"):
            await bus.publish(METRICS, "h", LINES)


# -- TLS ---------------------------------------------------------------------------------------------------------------


async def test_certificates_are_checked_and_what_is_wrong_is_said(tmp_path: Path) -> None:
    ours, theirs = authority(tmp_path / "ours"), authority(tmp_path / "theirs")
    cafile = str(ours.certificate)

    async def refused(context: ssl.SSLContext, **agent: Any) -> str:
        async with serving(context) as server, posting_to(f"https://localhost:{server.port}", **agent) as bus:
            with pytest.raises(BusError) as error:
                await bus.publish(METRICS, "h", LINES)
            assert not error.value.permanent
            assert server.requests == [], "the token went nowhere"
            return str(error.value)

    async with serving(ours.server()) as server:
        async with posting_to(f"https://localhost:{server.port}", url_cafile=cafile) as bus:
            await bus.publish(METRICS, "h", LINES)
        assert server.requests[0].lines == LINES
    assert "LAPWING_AGENT__URL_CAFILE" in await refused(theirs.server(), url_cafile=cafile)
    assert "LAPWING_AGENT__URL_CAFILE" in await refused(ours.server())
    assert "for another name" in await refused(ours.server("elsewhere.example.org"), url_cafile=cafile)
    past = ours.server(days=("20200101000000Z", "20200102000000Z"))
    assert "has expired" in await refused(past, url_cafile=cafile)


async def test_https_to_a_server_without_tls_is_one_sentence(server: Server, tmp_path: Path) -> None:
    async with posting_to(f"https://localhost:{server.port}", timeout=1.0) as bus:
        with pytest.raises(BusError):
            await bus.publish(METRICS, "h", LINES)


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agent", "says"),
    [
        ({"url": "https://a"}, "LAPWING_AGENT__TOKEN"),
        ({"url": "https://a", "token": "two words"}, "LAPWING_AGENT__TOKEN"),
        ({"url": "https://a", "token": "x", "url_cafile": "/nowhere/ca.pem"}, "LAPWING_AGENT__URL_CAFILE"),
        ({"url": "https://a:99999999", "token": "x"}, "LAPWING_AGENT__URL"),
        ({"url": "https://:1", "token": "x"}, "LAPWING_AGENT__URL"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(agent: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=says) as error:
        service.build(Settings.model_validate({"data_dir": tmp_path, "agent": agent}))
    assert "\n" not in str(error.value)


def test_an_agent_that_posts_needs_no_broker_and_no_word_of_ingest(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path, "agent": {"url": "https://a", "token": TOKEN}})
    assert settings.kafka.bootstrap_servers == "embedded://"
    product = compose.build(settings, ["agent"])
    try:
        assert [part.name for part in product.parts] == ["data directory", "agent", "pulse"]
        assert product.part("agent")._stored is None, "an answer means that the events are kept"
    finally:
        asyncio.run(product.parts[0].stop())


@pytest.mark.parametrize(
    ("url", "warned"), [("http://10.1.2.3:8000", True), ("http://127.0.0.1:1", False), ("https://10.1.2.3", False)]
)
async def test_a_token_sent_in_the_clear_to_another_machine_is_warned_of(
    url: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with posting_to(url):
            pass
    assert any("UNENCRYPTED" in r.message for r in caplog.records) is warned
