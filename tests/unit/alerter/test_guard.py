"""Where a stranger's URL may lead."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from services.alerter.delivery import guard
from services.alerter.delivery.channels.port import Delivered, Failed
from services.alerter.delivery.channels.webhook import Webhook
from services.alerter.delivery.guard import Guarded
from tests.support.receivers import webhook_receiver
from tests.support.tls import authority, tls_front
from tests.unit.alerter.notes import note


class Names:
    """A name server: what each name has, one answer a question, the last again and again."""

    def __init__(self, **names: Sequence[Sequence[str]]) -> None:
        self.names = {name.replace("_", "."): list(answers) for name, answers in names.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self.names[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]


class Wire(httpx.AsyncBaseTransport):
    """Where requests would have gone."""

    def __init__(self, dead: Sequence[str] = ()) -> None:
        self.requests: list[httpx.Request] = []
        self.dead = dead

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.host in self.dead:
            raise httpx.ConnectError("refused")
        return httpx.Response(200)


async def post(url: str, names: Names, wire: httpx.AsyncBaseTransport) -> object:
    channel = Webhook(url, external_url="https://x.example", timeout=5, transport=Guarded(wire, lookup=names))
    try:
        return await channel.deliver(note())
    finally:
        await channel.close()


async def test_the_connection_goes_to_the_address_that_was_looked_at() -> None:
    """Asked twice, the name would have another answer: there is no second question."""
    wire, names = Wire(), Names(rebind_example=[["1.1.1.1"], ["127.0.0.1"]])
    assert await post("https://rebind.example:8443/hook?a=1", names, wire) == Delivered("HTTP 200")
    (request,) = wire.requests
    assert str(request.url) == "https://1.1.1.1:8443/hook?a=1"
    assert request.headers["Host"] == "rebind.example:8443"
    assert request.extensions["sni_hostname"] == "rebind.example"
    assert names.asked == ["rebind.example"]


@pytest.mark.parametrize("answers", [["127.0.0.1"], ["1.1.1.1", "10.0.0.1"], ["::1"], ["169.254.169.254"]])
async def test_one_private_address_is_enough_to_refuse(answers: list[str]) -> None:
    wire = Wire()
    outcome = await post("http://evil.example/", Names(evil_example=[answers]), wire)
    assert isinstance(outcome, Failed)
    assert outcome.permanent
    assert "evil.example is at" in outcome.reason
    assert "LAPWING_ALERTER__ALLOW_PRIVATE_RECEIVERS" in outcome.reason
    assert wire.requests == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "localhost", "0"]
)
async def test_no_way_of_writing_it_leads_home(host: str) -> None:
    with webhook_receiver() as hooks:
        channel = Webhook(
            hooks.url.replace("127.0.0.1", host), external_url="https://x.example", timeout=5, transport=Guarded()
        )
        outcome = await channel.deliver(note())
        await channel.close()
    assert isinstance(outcome, Failed)
    assert hooks.bodies == []


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    wire = Wire(dead=["1.1.1.1"])
    outcome = await post("http://two.example/", Names(two_example=[["1.1.1.1", "2606:4700::1111"]]), wire)
    assert outcome == Delivered("HTTP 200")
    assert [r.url.host for r in wire.requests] == ["1.1.1.1", "2606:4700::1111"]


async def test_a_name_without_an_address_is_temporary() -> None:
    async def none(host: str, port: int) -> Sequence[str]:
        raise OSError("Name or service not known")

    channel = Webhook("http://gone.example/", external_url="x", timeout=5, transport=Guarded(Wire(), lookup=none))
    outcome = await channel.deliver(note())
    await channel.close()
    assert isinstance(outcome, Failed)
    assert not outcome.permanent
    assert "gone.example has no address" in outcome.reason


async def test_the_certificate_is_the_names_not_the_addresss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "is_public", lambda address: True)
    ca = authority(tmp_path)
    trusted = ssl.create_default_context(cafile=str(ca.certificate))
    names = Names(hooks_example=[["127.0.0.1"]], other_example=[["127.0.0.1"]])
    with webhook_receiver() as hooks:
        async with tls_front(ca.server("hooks.example"), int(hooks.url.split(":")[2].split("/")[0])) as port:
            good = await post(f"https://hooks.example:{port}/hook", names, httpx.AsyncHTTPTransport(verify=trusted))
            bad = await post(f"https://other.example:{port}/hook", names, httpx.AsyncHTTPTransport(verify=trusted))
    assert good == Delivered("HTTP 200")
    assert isinstance(bad, Failed)
    assert "ertificate" in bad.reason
    assert len(hooks.bodies) == 1
