"""The webhook channel against a real HTTP server that fails on purpose."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest

from services.alerter.delivery.channels.port import Delivered, Failed, Outcome
from services.alerter.delivery.channels.webhook import Webhook, where
from services.alerter.delivery.lane import Lane
from services.alerter.delivery.webhook_body import MOST_ALERTS, body
from services.alerter.notification.notification import Notification
from shared.runtime.clock import ManualClock, SystemClock
from shared.runtime.settings import SettingsError
from shared.schemas.alert import Delivery
from tests.support.receivers import webhook_receiver
from tests.support.waiting import eventually
from tests.unit.alerter import notes
from tests.unit.alerter.support import alert

EXTERNAL = "https://lapwing.example.org"


def note(*hosts: str, status: str = "firing") -> Notification:
    alerts = tuple(alert(f"a-{h}", host=h, host_id=f"id-{h}", state=status) for h in hosts or ("web1",))
    return notes.note(*alerts) if status == "firing" else notes.note(resolved=alerts)


async def post(url: str, notification: Notification | None = None, *, timeout: float = 5) -> Outcome:
    channel = Webhook(url, external_url=EXTERNAL, timeout=timeout)
    try:
        return await channel.deliver(notification or note())
    finally:
        await channel.close()


@contextmanager
def server(answer: Any) -> Iterator[str]:
    """A server whose POSTs ``answer(handler)`` answers; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answer(self)

        def log_message(self, *_: object) -> None: ...

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    Thread(target=httpd.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{httpd.server_address[1]}/hook?token=secret"
    finally:
        httpd.shutdown()
        httpd.server_close()


def plain(status: int, text: str = "", **headers: str) -> Any:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(text.encode())))
        handler.end_headers()
        handler.wfile.write(text.encode())

    return answer


def test_the_body_is_alertmanagers_version_4() -> None:
    sent = body(note(), EXTERNAL)
    assert sent == {
        "version": "4",
        "groupKey": '{}:{alertname="cpu_busy"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "ops",
        "groupLabels": {"alertname": "cpu_busy"},
        "commonLabels": {
            "alertname": "cpu_busy",
            "severity": "warning",
            "host": "web1",
            "host_id": "id-web1",
            "condition": "metric",
            "metric": "cpu.percent",
        },
        "commonAnnotations": {"summary": "cpu_busy on web1", "title": "cpu_busy", "advice": "Look at it."},
        "externalURL": EXTERNAL,
        "alerts": [
            {
                "status": "firing",
                "labels": sent["commonLabels"],
                "annotations": sent["commonAnnotations"],
                "startsAt": "2027-01-15T08:00:00.000Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": EXTERNAL + "/?host=id-web1&alert=a-web1",
                "fingerprint": "0123456789abcdef",
            }
        ],
    }


def test_common_is_what_all_have_in_common() -> None:
    sent = body(note("web1", "web2"), EXTERNAL)
    assert "host" not in sent["commonLabels"]
    assert sent["commonLabels"]["alertname"] == "cpu_busy"
    assert sent["commonAnnotations"] == {"title": "cpu_busy", "advice": "Look at it."}


def test_an_end_has_its_time() -> None:
    (ended,) = body(note(status="resolved"), EXTERNAL)["alerts"]
    assert (ended["status"], ended["endsAt"]) == ("resolved", "2027-01-15T08:01:00.000Z")


async def test_it_is_posted_as_json() -> None:
    with webhook_receiver() as hooks:
        assert await post(hooks.url) == Delivered("HTTP 200")
    assert hooks.bodies == [json.loads(json.dumps(body(note(), EXTERNAL)))]


async def test_names_from_far_away_are_only_text() -> None:
    name = 'web"1\n<b>\u2028\x00,{}\U0001f426'
    with webhook_receiver() as hooks:
        await post(hooks.url, note(name))
    assert hooks.bodies[0]["alerts"][0]["labels"]["host"] == name


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_every_2xx_is_yes(status: int) -> None:
    with server(plain(status)) as url:
        assert isinstance(await post(url), Delivered)


@pytest.mark.parametrize(
    ("status", "permanent"),
    [(500, False), (502, False), (503, False), (429, False), (408, False), (400, True), (401, True), (404, True)],
)
async def test_a_refusal_says_whether_to_try_again(status: int, permanent: bool) -> None:
    with server(plain(status, "no\tway\n<b>")) as url:
        outcome = await post(url)
    assert isinstance(outcome, Failed)
    assert outcome.permanent is permanent
    assert outcome.reason == f"HTTP {status} no way <b>"


async def test_redirects_are_not_followed() -> None:
    with webhook_receiver() as elsewhere, server(plain(307, Location=elsewhere.url)) as url:
        outcome = await post(url)
    assert elsewhere.bodies == []
    assert isinstance(outcome, Failed)
    assert outcome.permanent


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("17", 17, 17),
        ("in 1000 s", 900, 1000),
        ("99999999", 3600, 3600),
    ],
)
async def test_retry_after_is_read(value: str, low: float, high: float) -> None:
    if value.startswith("in"):
        value = format_datetime(datetime.now(UTC) + timedelta(seconds=1000), usegmt=True)
    with server(plain(503, Retry_After=value)) as url:
        outcome = await post(url)
    assert isinstance(outcome, Failed)
    assert outcome.retry_after is not None
    assert low <= outcome.retry_after <= high


@pytest.mark.parametrize("value", ["soon", "", "-5", "Fri, 99 Foo 2026", f"Fri, 31 Dec {'9' * 20} 23:59:59 GMT"])
async def test_nonsense_in_retry_after_is_ignored(value: str) -> None:
    with server(plain(503, Retry_After=value)) as url:
        outcome = await post(url)
    assert outcome == Failed("HTTP 503", permanent=False, retry_after=None)


async def test_nobody_there_is_temporary_and_names_no_secret() -> None:
    with server(plain(200)) as url:
        pass
    outcome = await post(url.replace("http://", "http://user:hunter2@"))
    assert isinstance(outcome, Failed)
    assert not outcome.permanent
    assert "cannot be reached" in outcome.reason
    assert "secret" not in outcome.reason
    assert "hunter2" not in outcome.reason


async def test_a_receiver_that_never_answers_costs_the_timeout() -> None:
    released = Event()
    with server(lambda handler: released.wait(20)) as url:
        outcome = await post(url, timeout=0.2)
        released.set()
    assert outcome == Failed(f"{where(url)} cannot be reached: no answer in time")


async def test_a_receiver_that_drips_is_cut_off_by_the_lane() -> None:
    released = Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not released.wait(0.05):
            try:
                handler.wfile.write(b"X-Drip: 1\r\n")
                handler.wfile.flush()
            except OSError:
                return

    records: list[Delivery] = []
    with server(drip) as url:
        channel = Webhook(url, external_url=EXTERNAL, timeout=5)
        lane = Lane("webhook", channel, records.append, SystemClock(), max_attempts=1, timeout=0.4)
        lane.offer(note())
        running = asyncio.create_task(lane.run())
        await eventually(lambda: records)
        released.set()
        running.cancel()
        await channel.close()
    assert (records[0].outcome, records[0].detail) == ("gave_up", "not done within 0.4 s")


async def test_an_endless_answer_is_not_read() -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 500 Oops\r\n\r\n")
        with pytest.raises(OSError):
            while True:
                handler.wfile.write(b"x" * 65536)

    with server(endless) as url:
        outcome = await post(url)
    assert isinstance(outcome, Failed)
    assert len(outcome.reason) < 400


@pytest.mark.parametrize("url", ["http://[::1", "http://exa mple/", "http://host:99999/"])
async def test_an_address_that_is_none_does_not_raise(url: str) -> None:
    assert isinstance(await post(url), Failed)


async def test_twice_busy_then_yes_is_one_message() -> None:
    clock = ManualClock()
    records: list[Delivery] = []

    async def at_once(event: asyncio.Event, seconds: float | None) -> None:
        if seconds is None:
            await event.wait()
        else:
            clock.advance(seconds)

    with webhook_receiver() as hooks:
        hooks.statuses = [500, 500]
        channel = Webhook(hooks.url, external_url=EXTERNAL, timeout=5)
        lane = Lane("webhook", channel, records.append, clock, max_attempts=8, timeout=5, wait=at_once)
        lane.offer(note())
        running = asyncio.create_task(lane.run())
        await eventually(lambda: not lane.waiting)
        running.cancel()
        await channel.close()
    assert len(hooks.bodies) == 1
    assert [r.outcome for r in records] == ["temporary_failure", "temporary_failure", "delivered"]


def test_more_alerts_than_a_body_holds_are_counted() -> None:
    firing = tuple(alert(f"a{i}") for i in range(MOST_ALERTS - 1))
    resolved = tuple(alert(f"b{i}", state="resolved") for i in range(11))
    sent = body(notes.note(*firing, resolved=resolved), EXTERNAL)
    assert (len(sent["alerts"]), sent["truncatedAlerts"]) == (MOST_ALERTS, 10)
    assert [a["status"] for a in sent["alerts"][-2:]] == ["firing", "resolved"]


def test_ten_megabytes_are_cut_aloud_here_too() -> None:
    sent = body(notes.note(alert("a", annotations={"description": "x" * 10_000_000})), EXTERNAL)
    text = sent["alerts"][0]["annotations"]["description"]
    assert len(text) == 8192
    assert text.endswith("… [10000000 characters, cut]")


def test_a_digest_of_nothing_has_a_body_too() -> None:
    sent = body(notes.note(occasion="digest"), EXTERNAL)
    assert (sent["status"], sent["alerts"], sent["commonLabels"]) == ("resolved", [], {})


class Seen:
    """A server that keeps what it was sent."""

    def __init__(self, status: int = 200) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.status = status
        self.url = ""


@contextmanager
def seen(status: int = 200) -> Iterator[Seen]:
    kept = Seen(status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.requests.append((dict(self.headers.items()), body))
            self.send_response(kept.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=httpd.serve_forever, args=(0.02,), daemon=True).start()
    kept.url = f"http://127.0.0.1:{httpd.server_address[1]}/hook"
    try:
        yield kept
    finally:
        httpd.shutdown()
        httpd.server_close()


async def deliver(channel: Webhook, notification: Notification | None = None) -> Outcome:
    try:
        return await channel.deliver(notification or note())
    finally:
        await channel.close()


async def test_it_is_signed_with_the_time_it_was_sent() -> None:
    clock = ManualClock()
    with seen() as receiver:
        channel = Webhook(receiver.url, external_url=EXTERNAL, timeout=5, secret=lambda: "s3cret", clock=clock)
        await deliver(channel)
    ((headers, sent),) = receiver.requests
    at = clock.now_ms() // 1000
    expected = hmac.new(b"s3cret", f"{at}.".encode() + sent, hashlib.sha256).hexdigest()
    assert headers["X-Lapwing-Signature"] == f"t={at},v1={expected}"
    assert headers["X-Lapwing-Notification"] == note().id
    assert headers["X-Lapwing-Occasion"] == "first"


async def test_headers_of_ones_own() -> None:
    with seen() as receiver:
        await deliver(
            Webhook(
                receiver.url,
                external_url=EXTERNAL,
                timeout=5,
                headers={"Authorization": "Bearer x", "Content-Type": "text/plain", "User-Agent": "us"},
            )
        )
    ((headers, _),) = receiver.requests
    assert (headers["Authorization"], headers["Content-Type"], headers["User-Agent"]) == (
        "Bearer x",
        "text/plain",
        "us",
    )


async def test_space_around_a_header_is_not_a_part_of_it() -> None:
    with seen() as receiver:
        headers = {"Authorization": " Bearer x "}
        assert await deliver(Webhook(receiver.url, external_url=EXTERNAL, timeout=5, headers=headers)) == Delivered(
            "HTTP 200"
        )
    assert receiver.requests[0][0]["Authorization"] == "Bearer x"


async def test_a_header_that_cannot_be_sent_is_not_quoted() -> None:
    with seen() as receiver:
        headers = {"Authorization": "Bearer hunter2\r\nX: y"}
        outcome = await deliver(Webhook(receiver.url, external_url=EXTERNAL, timeout=5, headers=headers))
    assert isinstance(outcome, Failed)
    assert "hunter2" not in outcome.reason
    assert receiver.requests == []


async def test_a_body_of_ones_own() -> None:
    template = '{"text": {{ (commonLabels.alertname ~ " " ~ occasion)|tojson }}, "n": {{ alerts|length }}}'
    with seen() as receiver:
        assert await deliver(Webhook(receiver.url, external_url=EXTERNAL, timeout=5, template=template)) == Delivered(
            "HTTP 200"
        )
    assert json.loads(receiver.requests[0][1]) == {"text": "cpu_busy first", "n": 1}


@pytest.mark.parametrize("status", [200, 400])
async def test_a_body_of_ones_own_that_fails_is_ours_and_is_said(status: int) -> None:
    with seen(status) as receiver:
        outcome = await deliver(Webhook(receiver.url, external_url=EXTERNAL, timeout=5, template="{{ nothing.here }}"))
    assert json.loads(receiver.requests[0][1])["version"] == "4"
    said = outcome.detail if isinstance(outcome, Delivered) else outcome.reason
    assert said == f"HTTP {status}; the body is ours, its template failed: 'nothing' is undefined"


async def test_a_secret_that_is_gone_is_temporary_and_named() -> None:
    def gone() -> str:
        raise SettingsError("receiver `ops`, webhook: cannot read '/x': No such file or directory")

    outcome = await deliver(Webhook("http://127.0.0.1:1/", external_url=EXTERNAL, timeout=5, secret=gone))
    assert outcome == Failed("receiver `ops`, webhook: cannot read '/x': No such file or directory")
