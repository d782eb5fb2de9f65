"""The dead man's switch is told while alerting works, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from services.alerter.delivery.heartbeat import Heartbeat
from tests.support.waiting import eventually


class Switch:
    def __init__(self) -> None:
        self.beats = 0
        self.status = 200
        self.url = ""


@contextmanager
def switch() -> Iterator[Switch]:
    it = Switch()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            it.beats += 1
            self.send_response(it.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=httpd.serve_forever, args=(0.02,), daemon=True).start()
    it.url = f"http://127.0.0.1:{httpd.server_address[1]}/ping/secret"
    try:
        yield it
    finally:
        httpd.shutdown()
        httpd.server_close()


async def test_it_beats_as_often_as_it_should() -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    with switch() as it:
        heart = Heartbeat(it.url, 60.0, lambda: None, sleep=sleep)
        running = asyncio.create_task(heart.run())
        await eventually(lambda: it.beats >= 3)
        running.cancel()
        await heart.close()
    assert set(pauses) == {60.0}


async def test_it_is_still_when_alerting_does_not_work() -> None:
    with switch() as it:
        heart = Heartbeat(it.url, 60.0, lambda: "the broker is away")
        assert await heart.beat() == "alerting does not work: the broker is away"
        await heart.close()
    assert it.beats == 0


async def test_what_fails_is_said_once_and_names_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    turns = 0

    async def sleep(_: float) -> None:
        nonlocal turns
        turns += 1
        if turns == 3:
            it.status = 200
        await asyncio.sleep(0)

    with switch() as it, caplog.at_level("INFO"):
        it.status = 500
        heart = Heartbeat(it.url, 60.0, lambda: None, sleep=sleep)
        running = asyncio.create_task(heart.run())
        await eventually(lambda: turns >= 5)
        running.cancel()
        await heart.close()
    assert caplog.text.count("no heartbeat was given") == 1
    assert caplog.text.count("heartbeats are given again") == 1
    assert "secret" not in " ".join(
        r.getMessage() + str(r.__dict__.get("reason")) for r in caplog.records if r.name.startswith("services")
    )


async def test_one_that_is_away_is_no_reason_to_stop() -> None:
    heart = Heartbeat("http://127.0.0.1:1/ping", 60.0, lambda: None)
    said = await heart.beat()
    assert said
    assert said.startswith("http://127.0.0.1:1: ")
    await heart.close()
