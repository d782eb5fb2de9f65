"""The API as a running part: on real sockets, with a real broker and a real store, started and stopped."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import socket
import stat
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.api import accounts_cli, service
from services.api.broadcast import MOST_CLIENTS
from services.api.service import ApiService
from shared.broker.embedded import EmbeddedBroker
from shared.bus import tailing
from shared.bus.kafka import publisher, tail
from shared.bus.port import Publisher
from shared.runtime.serving import CannotListen
from shared.runtime.settings import Settings
from shared.schemas.topics import ALERTS, ANOMALIES, CONTROL, METRICS, Topic
from shared.store.clickhouse import open_store
from tests.support.alerting import delivery, setup
from tests.support.api import PASSWORD
from tests.support.broker import embedded_broker
from tests.support.samples import host_sample
from tests.support.store import fresh_store
from tests.support.waiting import eventually

__all__ = ["fresh_store"]


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with embedded_broker() as it:
        yield it


@pytest.fixture
def settings(fresh_store: Settings, broker: EmbeddedBroker) -> Settings:
    return with_api(fresh_store, broker)


def with_api(settings: Settings, broker: EmbeddedBroker, **api: Any) -> Settings:
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": broker.address})
    section = settings.api.model_copy(update={"port": 0, **api})
    update: dict[str, Any] = {"kafka": kafka, "api": section}
    password = Settings.model_validate({"admin_password": PASSWORD}).admin_password
    return settings.model_copy(update=update | {"admin_password": password})


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[ApiService]:
    api = service.build(settings)
    try:
        await api.start()
        yield api
    finally:
        await api.stop()


@asynccontextmanager
async def client(api: ApiService) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=api.url, timeout=60, trust_env=False) as http:
        answer = await http.post("/api/auth/login/", json={"username": "admin", "password": PASSWORD})
        http.headers["Authorization"] = f"Bearer {answer.json()['data']['access_token']}"
        yield http


@asynccontextmanager
async def publishing(settings: Settings) -> AsyncIterator[Publisher]:
    it = publisher(settings.kafka, "test")
    await it.start()
    try:
        yield it
    finally:
        await it.stop()


async def say(bus: Publisher, event: dict[str, Any], topic: Topic = METRICS) -> None:
    await bus.publish(topic, event["host_id"], json.dumps(event).encode())


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def data(http: httpx.AsyncClient, path: str) -> Any:
    answer = await http.get(path)
    return answer.json()["data"] if answer.status_code == 200 else None


async def test_what_is_published_is_answered(settings: Settings) -> None:
    async with running(settings) as api, client(api) as http, publishing(settings) as bus:
        assert (await http.get("/api/system/cpu/")).status_code == 404
        await say(bus, host_sample(ts=now_ms(), cpu={"percent": 42.0}))
        cpu = await eventually(lambda: data(http, "/api/system/cpu/"))
        assert cpu["cpu_percent"] == 42.0
        assert (await http.get("/readyz")).json()["status"] == "ok"
        assert "lapwing_api_requests_total" in (await http.get("/metrics")).text


async def test_while_the_broker_is_away_it_is_ready_and_says_so_whether_it_has_ever_reached_it_or_not(
    settings: Settings, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailing, "SILENT_SECONDS", 1)
    broker.interrupt()
    async with running(settings) as api, client(api) as http, publishing(settings) as bus:

        async def warned() -> list[str]:
            ready = await http.get("/readyz")
            assert (ready.status_code, ready.json()["failures"]) == (200, {}), "it answers from the store"
            return list(ready.json()["warnings"])

        async def without_warning() -> bool:
            return not await warned()

        assert await warned() == ["api: bus"]
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/api/system/hosts/")).status_code == 200
        broker.resume()
        await eventually(without_warning)
        broker.interrupt()
        assert await eventually(warned) == ["api: bus"]
        assert (await http.get("/api/system/hosts/")).status_code == 200
        broker.resume()
        await eventually(without_warning)
        await say(bus, host_sample(ts=now_ms(), cpu={"percent": 42.0}))
        assert (await eventually(lambda: data(http, "/api/system/cpu/")))["cpu_percent"] == 42.0


async def test_what_the_alerter_says_of_itself_is_known_and_what_it_is_asked_to_try_is_answered(
    settings: Settings,
) -> None:
    control = tail(settings.kafka, [CONTROL], "test-alerter")
    async with publishing(settings) as bus:
        await bus.publish(CONTROL, "setup:alerter", json.dumps(setup()).encode())
        await control.start()

        async def alerter() -> None:
            async for batch in control.messages():
                for message in batch:
                    if (message.key or b"").startswith(b"trial:") and message.value:
                        trial = json.loads(message.value)
                        await say(bus, delivery(trial["id"], receiver=trial["receiver"]), ALERTS)

        answering = asyncio.create_task(alerter())
        async with running(settings) as api, client(api) as http:

            async def rules() -> Any:
                return (await data(http, "/api/system/rules/"))["rules"]

            assert [rule["name"] for rule in await eventually(rules)] == ["disk_full", "web"]
            tried = await http.post("/api/system/receivers/pager/test/")
            assert tried.json()["data"]["delivered"] is True, tried.text
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        await control.stop()


async def test_a_replica_that_restarts_knows_what_it_knew(settings: Settings) -> None:
    store = await open_store(settings, "writer")
    at = now_ms() - 5000
    await store.insert_lines("landing_metrics", json.dumps(host_sample(ts=at, cpu={"percent": 12.5})).encode())
    await store.close()
    for _ in range(2):
        async with running(settings) as api, client(api) as http:
            assert (await data(http, "/api/system/cpu/"))["cpu_percent"] == 12.5
            assert (await data(http, "/api/system/monitor/"))["disks"]
            (host,) = await data(http, "/api/system/hosts/")
            assert (host["name"], host["status"], host["agent_version"]) == ("web-1", "online", "0.1.0")


async def test_a_taken_port_is_one_clear_line(settings: Settings, broker: EmbeddedBroker) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        api = service.build(with_api(settings, broker, port=port))
        with pytest.raises(CannotListen) as refusal:
            await api.start()
        await api.stop()
    assert str(port) in str(refusal.value)
    assert "LAPWING_API__PORT" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.name.invalid"])
async def test_an_address_we_do_not_have_is_one_clear_line(
    settings: Settings, broker: EmbeddedBroker, host: str
) -> None:
    api = service.build(with_api(settings, broker, host=host))
    with pytest.raises(CannotListen, match="LAPWING_API__HOST"):
        await api.start()
    await api.stop()
    await api.stop()


async def test_it_stops_at_once_whoever_still_listens(settings: Settings) -> None:
    async with running(settings) as api, client(api) as http:
        idle = socket.create_connection(("127.0.0.1", int(api.url.rsplit(":", 1)[1])))
        half = socket.create_connection(("127.0.0.1", int(api.url.rsplit(":", 1)[1])))
        half.sendall(b"POST /api/auth/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf a")
        async with http.stream("GET", "/api/system/stream/") as stream:
            assert stream.status_code == 200
            lines = stream.aiter_lines()
            assert await anext(lines) == "retry: 2000"
            stopping = asyncio.create_task(api.stop())
            rest = [line async for line in lines]
            await asyncio.wait_for(stopping, 30)
        assert 'data: {"reason":"shutting down"}' in rest
        idle.close()
        half.close()


async def test_the_stream_tells_samples_anomalies_and_alerts(settings: Settings) -> None:
    async with running(settings) as api, client(api) as http, publishing(settings) as bus:
        host = host_sample()["host_id"]
        heard: list[tuple[str, Any]] = []

        async def listen() -> None:
            async with http.stream("GET", "/api/system/stream/", timeout=60) as stream:
                event = ""
                async for line in stream.aiter_lines():
                    if line.startswith("event: "):
                        event = line[7:]
                    elif line.startswith("data: "):
                        heard.append((event, json.loads(line[6:])))

        listening = asyncio.create_task(listen())
        await eventually(lambda: len(api.deps.hub) == 1)
        now = now_ms()
        await say(bus, host_sample(ts=now))
        who = {"event_id": "x", "ts": now, "host_id": host, "host": "web-1", "started_at": now}
        anomaly = {"kind": "anomaly", "anomaly_id": "a", "state": "open", "score": 2.0, "peak_score": 2.0}
        alert = {"kind": "alert", "alert_id": "l", "fingerprint": "f", "rule": "r", "state": "firing"}
        await say(bus, who | anomaly, ANOMALIES)
        await say(bus, who | alert | {"previous_state": "pending", "severity": "warning"}, ALERTS)
        await eventually(lambda: {event for event, _ in heard} == {"sample", "anomaly", "alert"})
        sample = next(d for event, d in heard if event == "sample")
        assert sample["host"] == "web-1"
        assert sample["metrics"]["cpu.percent"] == 23.4
        assert sample["metrics"]["disk.percent"] == {"/": 64.2, "/srv/data": 45.0}
        assert sample["state"]["memory"]["percent"] == 37.5
        listening.cancel()
        await eventually(lambda: len(api.deps.hub) == 0)


async def test_a_stream_ends_with_the_login_it_was_opened_with(settings: Settings) -> None:
    async with running(settings) as api, client(api) as http, publishing(settings) as bus:
        async with http.stream("GET", "/api/system/stream/") as stream:
            lines = stream.aiter_lines()
            await anext(lines)
            await http.post("/api/auth/logout/")
            await say(bus, host_sample(ts=now_ms()))
            rest = [line async for line in lines]
        assert 'data: {"reason":"no longer authorised"}' in rest
        assert len(api.deps.hub) == 0


async def test_a_client_that_reads_nothing_is_let_go(settings: Settings) -> None:
    async with running(settings) as api, client(api) as http:
        await http.get("/healthz")
        token = http.headers["Authorization"]
        lazy = socket.create_connection(("127.0.0.1", int(api.url.rsplit(":", 1)[1])))
        lazy.sendall(f"GET /api/system/stream/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n\r\n".encode())
        await eventually(lambda: len(api.deps.hub) == 1)

        def flooded() -> bool:
            for _ in range(50):
                api.deps.hub.send("samples", "h", b"event: sample\ndata: " + b"x" * 50_000 + b"\n\n")
            return len(api.deps.hub) == 0

        await eventually(flooded)
        assert (await http.get("/api/auth/me/")).status_code == 200, "nobody else minds"
        lazy.close()
        assert MOST_CLIENTS > 1


async def test_a_body_of_100_mb_is_refused_before_it_is_read(settings: Settings) -> None:
    async with running(settings) as api:
        port = int(api.url.rsplit(":", 1)[1])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /api/auth/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 104857600\r\n\r\n" + b" " * 1000
        )
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        assert b" 413 " in head
        length = int(next(line for line in head.decode().lower().split("\r\n") if "content-length" in line)[16:])
        body = json.loads(await reader.readexactly(length))
        assert (body["success"], body["code"]) == (False, 413)
        writer.close()

        # A client that sends all of it before it listens hears the answer as well.
        def stubborn() -> int:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
                sock.sendall(b"POST /api/auth/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 104857600\r\n\r\n")
                try:
                    for _ in range(100):
                        sock.sendall(b" " * 1_048_576)
                except OSError:
                    pass
                return len(sock.recv(10_000).split(b" 413 ")) - 1

        assert await asyncio.to_thread(stubborn) == 1


async def test_a_request_head_that_does_not_end_is_cut_off(settings: Settings) -> None:
    async with running(settings) as api, client(api) as http:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(api.url.rsplit(":", 1)[1]))
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                writer.write(b"a" * 65_536)
                await writer.drain()
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()
        for size in (10, 500_000, 900_000, 10):
            body = {"data": [1.0] * (size // 4)}
            answer = await http.post("/api/system/detect_overload/", json=body)
            assert answer.status_code in (200, 422), "a long body is no long head"


# -- the admin socket and the command line ----------------------------------------------------------------------------


def command(settings: Settings, *words: str) -> int:
    """``lapwing <words>``: exit status; what it prints goes to stdout and stderr."""
    parser = argparse.ArgumentParser()
    accounts_cli.register(parser.add_subparsers(required=True))
    arguments = parser.parse_args(words)
    return int(arguments.run(settings, arguments))


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


async def test_the_command_line_speaks_to_the_running_product(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(settings) as api, client(api) as http:
        file = service.admin_socket(settings)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700

        typed(monkeypatch, "a password of alice\n")
        words = ("user", "add", "alice", "--role", "operator", "--password-stdin")
        assert await asyncio.to_thread(command, settings, *words) == 0
        assert capsys.readouterr().out == "added alice (operator)\n"
        login = {"username": "alice", "password": "a password of alice"}
        alice = (await http.post("/api/auth/login/", json=login)).json()["data"]["access_token"]

        assert await asyncio.to_thread(command, settings, "token", "create", "grafana", "--scope", "read") == 0
        token = capsys.readouterr().out.strip()
        me = await http.get("/api/auth/me/", headers={"Authorization": f"Bearer {token}"})
        assert me.json()["data"]["permissions"] == ["read"]
        assert await asyncio.to_thread(command, settings, "token", "revoke", token.split("_")[1]) == 0
        me = await http.get("/api/auth/me/", headers={"Authorization": f"Bearer {token}"})
        assert me.status_code == 401

        assert await asyncio.to_thread(command, settings, "user", "disable", "alice") == 0
        me = await http.get("/api/auth/me/", headers={"Authorization": f"Bearer {alice}"})
        assert me.status_code == 401
        capsys.readouterr()
        assert await asyncio.to_thread(command, settings, "user", "list") == 0
        listed = capsys.readouterr().out.splitlines()
        assert listed[0].split() == ["USER", "ROLE", "STATE", "SINCE"]
        assert [line.split()[:3] for line in listed[1:]] == [
            ["admin", "admin", "enabled"],
            ["alice", "operator", "disabled"],
        ]
        assert await asyncio.to_thread(command, settings, "token", "list") == 0
        assert "revoked" in capsys.readouterr().out
    assert not file.exists()


def test_the_command_line_works_while_nothing_runs(
    fresh_store: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, "a password of bob\n")
    assert command(fresh_store, "user", "add", "bob", "--password-stdin") == 0
    assert command(fresh_store, "user", "list") == 0
    assert "bob" in capsys.readouterr().out
    typed(monkeypatch, "another password\n")
    assert command(fresh_store, "user", "passwd", "bob", "--password-stdin") == 0


BAD_INPUT = [
    (("user", "passwd", "nobody", "--password-stdin"), "long enough\n", "Unknown user: nobody"),
    (("user", "add", "x", "--password-stdin"), "short\n", "password"),
    (("user", "add", "x y", "--password-stdin"), "long enough\n", "username"),
    (("user", "add", "x"), "", "--password-stdin"),
    (("user", "disable", "../../x"), "", "cannot be a user name"),
    (("token", "revoke", "nothing"), "", "Unknown token: nothing"),
    (("token", "create", "x", "--days", "-1"), "", "expires_in_days"),
    (("token", "create", ""), "", "name"),
]


def test_bad_input_is_status_2_and_one_clear_line(
    fresh_store: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, stdin, says in BAD_INPUT:
        typed(monkeypatch, stdin)
        assert command(fresh_store, *words) == 2, words
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("lapwing: ")
        assert says in lines[0]


def test_a_store_that_cannot_be_opened_is_status_1_and_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dsn = "http://127.0.0.1:9/lapwing"
    settings = Settings.model_validate({"data_dir": tmp_path, "clickhouse": {"dsn": dsn}})
    assert command(settings, "user", "list") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("lapwing: the store cannot be opened: ")


def test_a_deep_data_directory_has_a_socket_all_the_same(tmp_path: Path) -> None:
    from services.api.server import Server

    deep = tmp_path / ("d" * 80) / ("e" * 80) / "run" / "admin.sock"

    async def story() -> int:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        from services.api.server import short_path

        server = Server(app)
        await server.start_unix(deep)
        try:
            with short_path(deep) as path:
                async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=path)) as http:
                    return (await http.get("http://x/")).status_code
        finally:
            await server.stop()

    assert asyncio.run(story()) == 204
    assert not deep.exists()
    assert threading.active_count() < 50
