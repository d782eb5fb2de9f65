"""What strangers, accidents and wrong clocks may do to the running product; afterwards it is still there, and knows
what it knew. One product, told in order; everything on loopback and within bounds.
"""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.product import PASSWORD, PATIENCE, Product, running

NAME = "<script>alert(1)</script>'; DROP TABLE samples; --"
HISTORY = "/api/system/history/?metric=memory.percent&from=now-1h&to=now&step=1s"


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with running(tmp_path_factory.mktemp("attacked"), LAPWING_AGENT__HOST=NAME) as it:
        it.until(HISTORY, lambda data: data["series"] and len(data["series"][0]["points"]) >= 3)
        yield it


def test_a_host_name_that_is_a_program_is_only_a_name(product: Product) -> None:
    assert [h["name"] for h in product.get("/api/system/hosts/")] == [NAME]
    for path in (
        "/api/system/cpu/?host=",
        "/api/system/history/?metric=cpu.percent&host=",
        "/api/system/alerts/?host=",
    ):
        product.get(path + quote(NAME))


def test_a_process_name_that_is_a_program_is_only_a_name_and_its_secrets_stay_there(product: Product) -> None:
    name = "<img src=x onerror=alert(2)>\x1b[31m"
    arguments = [name, "-c", "x = bytearray(300 << 20)\nwhile True: pass", "--password=hunter2", "'; DROP TABLE x;--"]
    evil = subprocess.Popen(arguments, executable=sys.executable)
    try:
        rows = product.until(
            "/api/system/processes/?limit=1000", lambda rows: any(r["pid"] == evil.pid and r["cmdline"] for r in rows)
        )
    finally:
        evil.kill()
        evil.wait()
    (row,) = (r for r in rows if r["pid"] == evil.pid)
    assert row["cmdline"][0] == name
    assert row["cmdline"][3:] == ["--password=***", "'; DROP TABLE x;--"]


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_of_100_megabytes_is_refused_with_an_answer(product: Product, announced: bool) -> None:
    before = _resident_kib(product.pid)
    with _connected(product) as wire:
        head = b"Content-Length: 104857600" if announced else b"Transfer-Encoding: chunked"
        wire.sendall(b"POST /api/auth/login/ HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n\r\n")
        with suppress(OSError):
            for _ in range(1600):
                wire.sendall(b"x" * 65536 if announced else b"10000\r\n" + b"x" * 65536 + b"\r\n")
        assert wire.recv(100).startswith(b"HTTP/1.1 413 ")
    assert _resident_kib(product.pid) - before < 50_000


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /api/auth/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /api/auth/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n",
        b"POST /api/auth/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /page/../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/system/cpu/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a-foreign-name.example\r\n\r\n",
    ],
    ids=["tls", "long path", "negative", "huge", "two lengths", "dots", "token", "foreign name"],
)
def test_what_is_no_proper_request_is_refused_as_the_clients_fault(product: Product, sent: bytes) -> None:
    with _connected(product) as wire:
        wire.sendall(sent)
        answer = wire.recv(4096)
    assert answer.startswith(b"HTTP/1.1 4"), answer


def test_a_thousand_silent_connections_take_neither_the_descriptors_nor_the_measuring(product: Product) -> None:
    _allow_descriptors(2000)
    resource.prlimit(product.pid, resource.RLIMIT_NOFILE, (1024, 1024))  # as on a machine that gives no more
    friend = http.client.HTTPConnection(*_address(product), timeout=PATIENCE)
    token = product.login()
    before = _newest(friend, token)
    silent: list[socket.socket] = []
    try:
        with suppress(OSError):
            for _ in range(1100):
                silent.append(socket.create_connection(_address(product), timeout=2))
                silent[-1].send(b"GET / HTTP/1.1\r\nX-Never-")
        deadline = time.monotonic() + PATIENCE
        while _newest(friend, token) < before + 4000:
            assert time.monotonic() < deadline, "measuring came to a stop"
            time.sleep(0.2)
    finally:
        friend.close()
        for wire in silent:
            wire.close()
    product.until("/api/system/cpu/", lambda data: data["cpu_count"] > 0)


def test_a_storm_of_logins_leaves_the_logged_in_alone(product: Product) -> None:
    wrong = {"username": "admin", "password": "x" * 900}
    answers = [product.request("/api/auth/login/", wrong)[0] for _ in range(30)]
    assert set(answers) == {401, 429}
    product.get("/api/system/cpu/")


def test_a_kill_takes_nothing_that_was_shown(product: Product) -> None:
    before = dict(map(tuple, product.get(HISTORY)["series"][0]["points"]))
    os.kill(product.pid, signal.SIGKILL)
    product.kill()
    product.start()
    after = dict(map(tuple, product.until(HISTORY, lambda data: data["series"])["series"][0]["points"]))
    assert {at: value for at, value in before.items() if after.get(at) != value} == {}


def test_every_page_of_an_operator_has_its_slash_or_not(product: Product) -> None:
    for path in ("/healthz", "/healthz/", "/openapi.json", "/openapi.json/"):
        status, _ = product.request(path)
        assert status == 200, path


def test_it_stops_while_it_is_asked_and_listened_to(product: Product) -> None:
    token = product.login()
    with _connected(product) as stream, _connected(product) as half:
        stream.sendall(
            b"GET /api/system/stream/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
            + token.encode()
            + b"\r\n\r\n"
        )
        assert stream.recv(100).startswith(b"HTTP/1.1 200 ")
        half.sendall(b"POST /api/auth/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        assert product.stop(signal.SIGTERM) == 0
    assert "Traceback" not in product.said()
    assert "hunter2" not in product.said()
    assert PASSWORD not in product.said()


def _address(product: Product) -> tuple[str, int]:
    return "127.0.0.1", int(product.url.rsplit(":", 1)[1])


@contextmanager
def _connected(product: Product) -> Iterator[socket.socket]:
    with socket.create_connection(_address(product), timeout=PATIENCE) as wire:
        yield wire


def _newest(connection: http.client.HTTPConnection, token: str) -> int:
    """When the newest point in the store was measured, asked on a connection that is open already."""
    connection.request("GET", HISTORY, headers={"Authorization": f"Bearer {token}"})
    answer = json.loads(connection.getresponse().read())
    return int(answer["data"]["series"][0]["points"][-1][0])


def _resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))


def _allow_descriptors(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
