"""The mail channel against a real SMTP server: TLS, authentication, refusals, and what arrives."""

from __future__ import annotations

import email
import email.policy
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from services.alerter.delivery.channels.email import LINKS_LAST_MS, Email, Wording
from services.alerter.delivery.channels.port import Delivered, Failed
from services.alerter.evidence.port import Gathered
from services.alerter.notification.notification import Notification
from shared.alerting.links import Link, Refusal, read
from shared.runtime.settings import SmtpSettings
from shared.schemas.alert import Alert
from tests.support.ports import free_port
from tests.unit.alerter import notes
from tests.unit.alerter.support import alert


def note(status: str = "firing", host: str = "web1", **more: Any) -> Notification:
    told = alert("a", host=host, state=status, **more)
    return notes.note(told) if status == "firing" else notes.note(resolved=(told,))


class Server:
    """What it was told, and what it answers instead of yes."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.raw: list[bytes] = []
        self.sessions: list[Any] = []
        self.refuse: dict[str, str] = {}
        self.data_answer = "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.data_answer.startswith("250"):
            self.sessions.append(session)
            self.raw.append(envelope.content)
            message = email.message_from_bytes(envelope.content, policy=email.policy.default)
            assert isinstance(message, EmailMessage)
            self.messages.append(message)
        return self.data_answer


@contextmanager
def smtp(handler: Server, **options: Any) -> Iterator[int]:
    port = free_port()
    controller = Controller(handler, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


@pytest.fixture
def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture
def client_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate[0]))


def channel(port: int, *, security: str = "none", to: tuple[str, ...] = ("ops@example.org",), **options: Any) -> Email:
    tls_context = options.pop("tls_context", None)
    ours = {k: options.pop(k) for k in ("external_url", "link_secret", "evidence", "wording") if k in options}
    settings = SmtpSettings.model_validate(
        {"host": "127.0.0.1", "port": port, "security": security, "from": "lapwing@example.org", **options}
    )
    return Email(settings, to, timeout=5, tls_context=tls_context, **ours)


def lapwing_login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"lapwing", b"pee-wit")
    return AuthResult(success=good, handled=False)


async def test_a_mail_arrives_as_text_and_html() -> None:
    handler = Server()
    with smtp(handler) as port:
        assert await channel(port, to=("a@example.org", "b@example.org")).deliver(note()) == Delivered("")
    (message,) = handler.messages
    assert message["Subject"] == "[Warning] cpu_busy: web1"
    assert message["From"] == "Lapwing <lapwing@example.org>"
    assert message["To"] == "a@example.org, b@example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime is not None
    text = message.get_body(("plain",))
    html = message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert "Value: 97.5 % (limit 90.0 %)" in text.get_content()
    assert "Look at it." in html.get_content()


async def test_starttls_and_authentication(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    handler = Server()
    with smtp(
        handler, tls_context=server_tls, require_starttls=True, auth_required=True, authenticator=lapwing_login
    ) as port:
        options = {"security": "starttls", "tls_context": client_tls, "username": "lapwing"}
        assert await channel(port, **options, password="pee-wit").deliver(note()) == Delivered("")
        refused = await channel(port, **options, password="wrong").deliver(note())
    assert handler.sessions[0].ssl is not None
    assert isinstance(refused, Failed)
    assert refused.permanent
    assert "535" in refused.reason
    assert "wrong" not in refused.reason


async def test_tls_from_the_first_byte(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    handler = Server()
    with smtp(handler, ssl_context=server_tls) as port:
        sent = await channel(port, security="tls", tls_context=client_tls).deliver(note())
    assert sent == Delivered("")
    assert len(handler.messages) == 1


async def test_an_untrusted_certificate_is_refused(server_tls: ssl.SSLContext) -> None:
    handler = Server()
    with smtp(handler, tls_context=server_tls, require_starttls=True) as port:
        outcome = await channel(port, security="starttls").deliver(note())
    assert isinstance(outcome, Failed)
    assert "certificate" in outcome.reason
    assert handler.messages == []


async def test_no_starttls_is_never_sent_in_the_clear() -> None:
    handler = Server()
    with smtp(handler) as port:
        outcome = await channel(port, security="starttls").deliver(note())
    assert isinstance(outcome, Failed)
    assert outcome.permanent
    assert "LAPWING_SMTP__SECURITY" in outcome.reason
    assert handler.messages == []


@pytest.mark.parametrize(
    ("answer", "permanent"), [("451 try later", False), ("452 mailbox full", False), ("554 spam", True)]
)
async def test_the_servers_word_says_whether_to_try_again(answer: str, permanent: bool) -> None:
    handler = Server()
    handler.data_answer = answer
    with smtp(handler) as port:
        outcome = await channel(port).deliver(note())
    assert isinstance(outcome, Failed)
    assert outcome.permanent is permanent
    assert answer in outcome.reason


async def test_one_bad_recipient_does_not_cost_the_others() -> None:
    handler = Server()
    handler.refuse = {"gone@example.org": "550 no such user"}
    with smtp(handler) as port:
        outcome = await channel(port, to=("gone@example.org", "ops@example.org")).deliver(note())
    assert outcome == Delivered("gone@example.org was refused: 550 no such user")
    assert len(handler.messages) == 1


@pytest.mark.parametrize(
    ("refusals", "permanent"),
    [(("550 no", "551 no"), True), (("450 later", "550 no"), False)],
)
async def test_no_recipient_left(refusals: tuple[str, str], permanent: bool) -> None:
    handler = Server()
    handler.refuse = dict(zip(("a@example.org", "b@example.org"), refusals, strict=True))
    with smtp(handler) as port:
        outcome = await channel(port, to=tuple(handler.refuse)).deliver(note())
    assert isinstance(outcome, Failed)
    assert outcome.permanent is permanent
    assert "a@example.org" in outcome.reason


async def test_nobody_there_is_temporary() -> None:
    with smtp(Server()) as port:
        pass
    outcome = await channel(port).deliver(note())
    assert isinstance(outcome, Failed)
    assert not outcome.permanent


async def test_a_line_end_in_a_name_begins_no_header() -> None:
    handler = Server()
    evil = "web1\r\nBcc: victim@example.org\r\n\r\n<script>alert(1)</script>\u2028x\x00"
    with smtp(handler) as port:
        assert await channel(port).deliver(note(host=evil)) == Delivered("")
    (message,) = handler.messages
    assert message["Bcc"] is None
    assert "Bcc: victim@example.org" in message["Subject"]
    assert b"\r\nBcc" not in handler.raw[0]  # in its body neither: nobody is to take it for a header
    html = message.get_body(("html",))
    assert html is not None
    assert "<script>" not in html.get_content()


async def test_all_messages_about_a_group_are_a_thread() -> None:
    handler = Server()
    with smtp(handler) as port:
        mails = channel(port)
        other = notes.note(alert("b", host="web2"), occasion="changed")
        elsewhere = notes.note(alert("a"), group_key="another")
        for notification in (note(), other, note("resolved"), note(), elsewhere):
            await mails.deliver(notification)
    fired, changed, resolved, again, another = handler.messages
    assert fired["References"] == changed["References"] == resolved["References"] != another["References"]
    assert fired["In-Reply-To"] == fired["References"]
    assert re.fullmatch(r"<group\.[0-9a-f]{32}@example\.org>", fired["References"])
    assert len({m["Message-ID"] for m in handler.messages}) == 4
    assert fired["Message-ID"] == again["Message-ID"]  # a repeat is recognised as one


async def test_a_very_long_name_is_cut_in_the_subject() -> None:
    handler = Server()
    with smtp(handler) as port:
        await channel(port).deliver(note(host="x" * 256, rule="cpu_busy"))
    assert len(str(handler.messages[0]["Subject"])) <= 200


async def test_the_sender_has_a_default() -> None:
    mails = Email(SmtpSettings(host="localhost"), ["ops@example.org"], timeout=1)
    message, _ = await mails.compose(note())
    assert str(message["From"]).startswith("Lapwing <lapwing@")


class Fixed:
    """Evidence that is always the same."""

    def __init__(self, gathered: Gathered) -> None:
        self.gathered = gathered
        self.asked: list[str] = []

    async def gather(self, about: Alert, now_ms: int) -> Gathered:
        self.asked.append(about.alert_id)
        return self.gathered


def climbing() -> Gathered:
    points = tuple((1_800_000_000_000 - 600_000 + i * 10_000, 20.0 + i) for i in range(64))
    return Gathered(metric="cpu.percent", points=points, threshold=90.0)


async def test_the_chart_is_in_the_mail_itself() -> None:
    handler = Server()
    evidence = Fixed(climbing())
    with smtp(handler) as port:
        told = notes.note(*(alert(f"a{i}", host=f"web{i}") for i in range(5)))
        assert await channel(port, evidence=evidence).deliver(told) == Delivered("")
    (message,) = handler.messages
    assert evidence.asked == ["a0", "a1", "a2"]
    html = message.get_body(("html",))
    assert html is not None
    shown = re.findall(r'src="cid:([^"]+)"', html.get_content())
    pictures = {p["Content-ID"].strip("<>"): p for p in message.walk() if p.get_content_type() == "image/png"}
    assert sorted(pictures) == sorted(shown)
    assert len(shown) == 3
    for picture in pictures.values():
        assert picture.get_content_disposition() == "inline"
        assert picture.get_content().startswith(b"\x89PNG")
    kinds = [p.get_content_type() for p in message.walk() if p.is_multipart()]
    assert kinds == ["multipart/alternative", "multipart/related"]


async def test_links_are_signed_for_this_alert_and_the_same_when_sent_again() -> None:
    told = notes.note(alert("a", anomaly_id="n1"))
    texts = []
    for _ in range(2):
        mails = channel(25, external_url="https://x.example/", link_secret="0123456789abcdef")
        message, _ = await mails.compose(told)
        body = message.get_body(("plain",))
        assert body is not None
        texts.append(body.get_content())
    assert texts[0] == texts[1]
    tokens = re.findall(r"https://x\.example/a/(\S+)", texts[0])
    links = [read("0123456789abcdef", token, told.at) for token in tokens]
    assert [(link.action, link.alert_id, link.anomaly_id) for link in links if isinstance(link, Link)] == [
        ("ack", "a", "n1"),
        ("silence", "a", "n1"),
        ("normal", "a", "n1"),
    ]
    assert len({link.nonce for link in links if isinstance(link, Link)}) == 3
    assert read("0123456789abcdef", tokens[0], told.at + LINKS_LAST_MS) is Refusal.EXPIRED


async def test_somebody_elses_words_take_the_place_of_ours() -> None:
    wording = Wording("zh", "{{ severity|upper }} {{ firing[0].host }}\nBcc: x@y", "Team {{ receiver }}:\n{{ title }}")
    message, remarks = await channel(25, wording=wording).compose(note())
    assert message["Subject"] == "WARNING web1 Bcc: x@y"
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content() == "Team ops:\ncpu_busy\n"
    assert "Team ops:" in html.get_content()
    assert "当前值" not in html.get_content()
    assert "阈值" in html.get_content()
    assert remarks == []


async def test_words_that_fail_are_said_and_ours_are_sent(caplog: pytest.LogCaptureFixture) -> None:
    handler = Server()
    wording = Wording(
        "en", "{{ nothing_like_it }}", "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}"
    )
    with smtp(handler) as port:
        outcome = await channel(port, wording=wording).deliver(note())
    assert isinstance(outcome, Delivered)
    assert "the subject is ours, its template failed: 'nothing_like_it' is undefined" in outcome.detail
    assert "the text is ours, its template failed: it was not done within 1 s" in outcome.detail
    assert handler.messages[0]["Subject"] == "[Warning] cpu_busy: web1"
    assert "its template failed" in caplog.text


async def test_texts_without_an_end_are_cut_aloud() -> None:
    handler = Server()
    with smtp(handler) as port:
        outcome = await channel(port).deliver(note(annotations={"title": "t", "description": "y" * 10_000_000}))
    assert outcome == Delivered("texts were too long and are cut")
    assert len(handler.raw[0]) < 100_000
