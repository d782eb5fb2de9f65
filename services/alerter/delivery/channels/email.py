"""E-mail: text and HTML with a chart, one thread a group, through the operator's own mail server."""

from __future__ import annotations

import asyncio
import email.utils
import hashlib
import logging
import re
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

import aiosmtplib

from services.alerter.delivery.brevity import clip, plain
from services.alerter.delivery.channels.port import Delivered, Failed, Outcome, with_remarks
from services.alerter.delivery.mail import IN_FULL, Exhibit, LinkTo, Mail, context_of, render, shortened
from services.alerter.delivery.sandbox import Sandbox, TemplateFault
from services.alerter.evidence.chart import draw
from services.alerter.evidence.port import Evidence, NoEvidence
from services.alerter.notification.notification import Notification
from services.alerter.rules.rule import Language
from shared.alerting.links import Action, nonce_of, sign
from shared.runtime.settings import SmtpSettings
from shared.schemas.alert import Alert

log = logging.getLogger(__name__)

PORTS = {"starttls": 587, "tls": 465, "none": 25}
LINKS_LAST_MS = 3 * 86_400_000
_MOST_SUBJECT = 200


@dataclass(frozen=True, slots=True)
class Wording:
    """``subject``, ``text``: templates in place of ours."""

    language: Language = "en"
    subject: str | None = None
    text: str | None = None


class Email:
    def __init__(
        self,
        smtp: SmtpSettings,
        to: Sequence[str],
        *,
        timeout: float,
        name: str = "email",
        wording: Wording | None = None,
        external_url: str | None = None,
        link_secret: str | None = None,
        evidence: Evidence | None = None,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        """``timeout``: seconds each step may take. ``link_secret``: without it, or ``external_url``, no link acts.
        ``tls_context``: other than the system's authorities.
        """
        assert smtp.host
        self.name = name
        self._smtp = smtp
        self._host = smtp.host
        self._port = smtp.port or PORTS[smtp.security]
        self._to = list(to)
        self._timeout = timeout
        self._wording = wording or Wording()
        self._external_url = external_url
        self._link_secret = link_secret
        self._evidence = evidence or NoEvidence()
        self._tls_context = tls_context
        self._sandbox = Sandbox()
        self._from = smtp.from_ or f"lapwing@{_own_name()}"

    @property
    def target(self) -> str:
        return ", ".join(self._to)

    async def deliver(self, notification: Notification) -> Outcome:
        message, remarks = await self.compose(notification)
        return with_remarks(await self._send(message), *remarks)

    async def close(self) -> None:
        await self._sandbox.close()

    async def compose(self, notification: Notification) -> tuple[EmailMessage, list[str]]:
        """The message, and what is to be said of it."""
        exhibits = await self._exhibits(notification)
        context = context_of(
            notification, self._wording.language, self._external_url, exhibits, self._links(notification)
        )
        remarks = ["texts were too long and are cut"] if shortened(notification) else []
        subject = await self._written("subject", self._wording.subject, context, remarks)
        text = await self._written("text", self._wording.text, context, remarks)
        mail = render(context, text or "")
        mail = Mail(subject or mail.subject, text or mail.text, mail.html)
        return self._message(notification, mail, list(exhibits.values())), remarks

    async def _written(self, what: str, source: str | None, context: Mapping[str, Any], remarks: list[str]) -> str:
        """What somebody's template makes; empty where there is none, or it failed."""
        if source is None:
            return ""
        try:
            return (await self._sandbox.render(source, context)).strip()
        except TemplateFault as fault:
            remarks.append(f"the {what} is ours, its template failed: {fault}")
            log.warning(remarks[-1], extra={"receiver": context["receiver"], "channel": self.name})
            return ""

    async def _exhibits(self, notification: Notification) -> dict[str, Exhibit]:
        """Of the first few alerts; gathered at once, so that they take as long as one."""
        shown = (notification.news or notification.resolved or notification.known)[:IN_FULL]
        found = await asyncio.gather(*(self._evidence.gather(a, notification.at or a.ts) for a in shown))
        exhibits = {}
        for alert, gathered in zip(shown, found, strict=True):
            chart = b""
            if len(gathered.points) > 1:
                ended = alert.ended_at if alert in notification.resolved else None
                chart = await asyncio.to_thread(draw, gathered, alert.started_at, ended)
            cid = f"{hashlib.sha256(alert.alert_id.encode()).hexdigest()[:16]}.chart@lapwing" if chart else ""
            exhibits[alert.alert_id] = Exhibit(gathered, chart, cid)
        return exhibits

    def _links(self, notification: Notification) -> LinkTo | None:
        secret, url = self._link_secret, self._external_url
        if secret is None or url is None or notification.occasion == "trial":
            return None

        def link(action: Action, alert: Alert) -> str:
            expires = (notification.at or alert.ts) + LINKS_LAST_MS
            nonce = nonce_of(secret, notification.id, alert.alert_id, action)
            return f"{url.rstrip('/')}/a/{sign(secret, action, alert.alert_id, alert.anomaly_id, expires, nonce)}"

        return link

    def _message(self, notification: Notification, mail: Mail, exhibits: Sequence[Exhibit]) -> EmailMessage:
        domain = email.utils.parseaddr(self._from)[1].rpartition("@")[2] or "lapwing"
        message = EmailMessage(policy=SMTP)
        message["From"] = self._sender()
        message["To"] = ", ".join(self._to)
        message["Subject"] = clip(plain(mail.subject), _MOST_SUBJECT)
        message["Date"] = email.utils.format_datetime(email.utils.localtime())
        # Sent again after a lost answer, it is still the same message.
        message["Message-ID"] = f"<{notification.id}@{domain}>"
        # Nobody ever sent this one, but it is in every message about the group, which is what makes a thread.
        group = hashlib.sha256(f"{notification.receiver}\0{notification.group_key}".encode()).hexdigest()[:32]
        message["In-Reply-To"] = message["References"] = f"<group.{group}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message["X-Lapwing-Alert"] = f"{notification.status} {notification.occasion}"
        message.set_content(mail.text)
        message.add_alternative(mail.html, subtype="html")
        pictures = [e for e in exhibits if e.chart]
        if pictures:
            html = message.get_payload()[1]  # type: ignore[index]
            assert isinstance(html, EmailMessage)
            for number, e in enumerate(pictures, 1):
                html.add_related(
                    e.chart,
                    maintype="image",
                    subtype="png",
                    cid=f"<{e.cid}>",
                    disposition="inline",
                    filename=f"chart{number}.png",
                )
        return message

    async def _send(self, message: EmailMessage) -> Outcome:
        try:
            refused, _ = await aiosmtplib.send(
                message,
                sender=email.utils.parseaddr(self._from)[1],
                recipients=self._to,
                hostname=self._host,
                port=self._port,
                username=self._smtp.username,
                password=self._smtp.password.get_secret_value() if self._smtp.password else None,
                use_tls=self._smtp.security == "tls",
                start_tls=self._smtp.security == "starttls",
                tls_context=self._tls_context,
                timeout=self._timeout,
                local_hostname=_own_name(),
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [r.code for r in error.recipients]
            return Failed(
                "no recipient was accepted: " + "; ".join(f"{r.recipient}: {_said(r)}" for r in error.recipients),
                permanent=all(code >= 500 for code in codes),
            )
        except aiosmtplib.SMTPResponseException as error:
            return Failed(f"{self._host}:{self._port} said {_said(error)}", permanent=error.code >= 500)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            # The library has no type of its own for a server that does not offer STARTTLS.
            lacks = "not supported" in str(error)
            hint = "; see LAPWING_SMTP__SECURITY" if lacks else ""
            reason = plain(str(error)) or type(error).__name__
            return Failed(f"{self._host}:{self._port}: {reason}{hint}", permanent=lacks)
        refusals = "; ".join(f"{address} was refused: {code} {text}" for address, (code, text) in refused.items())
        return Delivered(plain(refusals))

    def _sender(self) -> str | Address:
        name, address = email.utils.parseaddr(self._from)
        user, _, domain = address.rpartition("@")
        return Address(plain(name) or "Lapwing", user, domain)


def _said(error: aiosmtplib.SMTPResponseException) -> str:
    return plain(f"{error.code} {error.message}")[:500]


def _own_name() -> str:
    return re.sub(r"[^A-Za-z0-9.\-]", "", socket.gethostname()) or "localhost"
