"""The mail channel and real mail servers: Debian's Exim and Postfix, which want TLS and a password."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from services.alerter.delivery.channels.email import Email
from services.alerter.delivery.channels.port import Delivered, Failed, Outcome
from shared.runtime.settings import SmtpSettings
from tests.support.exim import Exim, exim
from tests.support.postfix import postfix
from tests.support.tls import Authority, authority
from tests.support.waiting import eventually
from tests.unit.alerter.notes import note
from tests.unit.alerter.support import alert
from tests.unit.alerter.test_email import Fixed, climbing


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module", params=[exim, postfix], ids=["exim", "postfix"])
def running(request: pytest.FixtureRequest, ca: Authority) -> Iterator[Exim]:
    with request.param(ca) as it:
        yield it


@pytest.fixture
def server(running: Exim) -> Exim:
    running.empty()
    return running


async def send(
    server: Exim, ca: Authority | None, security: str, *to: str, password: str = "pee-wit", **more: Any
) -> Outcome:
    settings = SmtpSettings.model_validate(
        {
            "host": "localhost",
            "port": server.tls if security == "tls" else server.starttls,
            "security": security,
            "from": "Lapwing <lapwing@example.org>",
            **({"username": "lapwing", "password": password} if password else {}),
        }
    )
    trusted = ssl.create_default_context(cafile=str(ca.certificate)) if ca else None
    mails = Email(settings, to or ("ops@example.org",), timeout=60, tls_context=trusted, **more)
    try:
        return await mails.deliver(note(alert("a", host="é中文\r\nBcc: x@y")))
    finally:
        await mails.close()


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_it_arrives_with_its_chart(server: Exim, ca: Authority, security: str) -> None:
    assert await send(server, ca, security, evidence=Fixed(climbing())) == Delivered("")
    (message,) = await eventually(server.messages)
    assert message["Subject"] == "[Warning] cpu_busy: é中文 Bcc: x@y"
    assert message["Bcc"] is None
    assert "esmtpsa" in message["Received"].lower()  # TLS and authenticated
    assert [p.get_content_type() for p in message.walk() if not p.is_multipart()] == [
        "text/plain",
        "text/html",
        "image/png",
    ]


async def test_a_wrong_password_is_final_and_not_repeated(server: Exim, ca: Authority) -> None:
    outcome = await send(server, ca, "starttls", password="hunter2")
    assert isinstance(outcome, Failed)
    assert outcome.permanent
    assert "535" in outcome.reason
    assert "hunter2" not in outcome.reason


async def test_without_a_password_it_says_what_is_missing(server: Exim, ca: Authority) -> None:
    outcome = await send(server, ca, "starttls", password="")
    assert isinstance(outcome, Failed)
    assert "authenticate first" in outcome.reason


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_of_a_stranger_is_refused(server: Exim, security: str) -> None:
    outcome = await send(server, None, security)
    assert isinstance(outcome, Failed)
    assert "certificate" in outcome.reason
    assert server.messages() == []


@pytest.mark.parametrize(
    ("to", "outcome"),
    [
        (("gone@example.org", "ops@example.org"), "delivered"),
        (("gone@example.org",), "permanent"),
        (("locked@example.org",), "temporary"),
        (("locked@example.org", "gone@example.org"), "temporary"),
    ],
)
async def test_its_word_on_each_recipient_counts(
    server: Exim, ca: Authority, to: tuple[str, ...], outcome: str
) -> None:
    said = await send(server, ca, "starttls", *to)
    if isinstance(said, Delivered):
        assert outcome == "delivered"
        assert re.search(r"gone@example.org was refused: 550 .*no such user here", said.detail)
        assert await eventually(server.messages)
    else:
        assert outcome == ("permanent" if said.permanent else "temporary")
