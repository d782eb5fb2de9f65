"""E-mail: text and HTML, one thread an alert, through the operator's own mail server."""

from __future__ import annotations

import email.utils
import re
import socket
import ssl
from collections.abc import Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

import aiosmtplib

from services.alerter.delivery.channels.port import Delivered, Failed, Outcome
from services.alerter.delivery.mail import one_line, render
from services.alerter.notification.notification import Notification
from services.alerter.rules.rule import Language
from shared.runtime.settings import SmtpSettings

PORTS = {"starttls": 587, "tls": 465, "none": 25}
_MOST_REFERENCES = 10
_MOST_SUBJECT = 200


class Email:
    name = "email"

    def __init__(
        self,
        smtp: SmtpSettings,
        to: Sequence[str],
        *,
        timeout: float,
        language: Language = "en",
        external_url: str | None = None,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        """``timeout``: seconds each step may take. ``tls_context``: other than the system's authorities."""
        assert smtp.host
        self._smtp = smtp
        self._host = smtp.host
        self._port = smtp.port or PORTS[smtp.security]
        self._to = list(to)
        self._timeout = timeout
        self._language = language
        self._external_url = external_url
        self._tls_context = tls_context
        self._from = smtp.from_ or f"lapwing@{_own_name()}"

    async def deliver(self, notification: Notification) -> Outcome:
        try:
            refused, _ = await aiosmtplib.send(
                self.message(notification),
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
            reason = _plain(str(error)) or type(error).__name__
            return Failed(f"{self._host}:{self._port}: {reason}{hint}", permanent=lacks)
        refusals = "; ".join(f"{address} was refused: {code} {text}" for address, (code, text) in refused.items())
        return Delivered(_plain(refusals))

    async def close(self) -> None: ...

    def message(self, notification: Notification) -> EmailMessage:
        mail = render(notification, self._language, self._external_url)
        domain = email.utils.parseaddr(self._from)[1].rpartition("@")[2] or "lapwing"
        message = EmailMessage(policy=SMTP)
        message["From"] = self._sender()
        message["To"] = ", ".join(self._to)
        message["Subject"] = _plain(mail.subject)[:_MOST_SUBJECT]
        message["Date"] = email.utils.format_datetime(email.utils.localtime())
        # Sent again after a lost answer, it is still the same message.
        message["Message-ID"] = f"<{notification.id}@{domain}>"
        # Nobody ever sent these, but they are in every message about the alert, which is what makes a thread.
        threads = [f"<alert.{alert_id}@{domain}>" for alert_id in notification.alert_ids[:_MOST_REFERENCES]]
        message["In-Reply-To"] = threads[0]
        message["References"] = " ".join(threads)
        message["Auto-Submitted"] = "auto-generated"
        message["X-Lapwing-Alert"] = _plain(f"{notification.rule} {notification.status}")
        message.set_content(mail.text)
        message.add_alternative(mail.html, subtype="html")
        return message

    def _sender(self) -> str | Address:
        name, address = email.utils.parseaddr(self._from)
        user, _, domain = address.rpartition("@")
        return Address(_plain(name) or "Lapwing", user, domain)


def _plain(text: str) -> str:
    """A line end would begin a new header."""
    return " ".join(one_line(text).split())


def _said(error: aiosmtplib.SMTPResponseException) -> str:
    return _plain(f"{error.code} {error.message}")[:500]


def _own_name() -> str:
    return re.sub(r"[^A-Za-z0-9.\-]", "", socket.gethostname()) or "localhost"
