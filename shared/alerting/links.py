"""Links in messages that act without a login: signed, soon over, and good for one use.

``sign`` and ``read`` are pure; who follows a link keeps its ``nonce`` as used, which is what makes it work once.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, get_args

from shared.runtime.secret_file import write_secret
from shared.runtime.settings import Settings, SettingsError, secret_from

Action = Literal["ack", "silence", "normal"]

SECRET_FILE = "link.secret"  # noqa: S105
SHORTEST_SECRET = 16
_LONGEST_TOKEN = 1024
_MAC_BYTES = 16
_PURPOSE = b"lapwing link 1\0"


@dataclass(frozen=True, slots=True)
class Link:
    """``expires_at``: epoch milliseconds. ``nonce`` is the id of the ``UsedLink`` it becomes."""

    action: Action
    alert_id: str
    anomaly_id: str | None
    expires_at: int
    nonce: str


class Refusal(StrEnum):
    NOT_OURS = "this link is not one of ours, or a part of it is missing"
    EXPIRED = "this link is too old"


def sign(secret: str, action: Action, alert_id: str, anomaly_id: str | None, expires_at: int, nonce: str) -> str:
    """A token for a URL's path. ``expires_at``: epoch milliseconds, kept to the second."""
    fields = [action, alert_id, anomaly_id or "", expires_at // 1000, nonce]
    payload = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    return f"{_packed(payload)}.{_packed(_mac(secret, payload))}"


def read(secret: str, token: str, now_ms: int) -> Link | Refusal:
    """What the link asks for, or why it is not followed. Whether it was used already is not known here."""
    payload_text, dot, mac_text = token.partition(".")
    try:
        if not dot or len(token) > _LONGEST_TOKEN:
            return Refusal.NOT_OURS
        payload, mac = _unpacked(payload_text), _unpacked(mac_text)
    except (binascii.Error, ValueError):
        return Refusal.NOT_OURS
    if not hmac.compare_digest(mac, _mac(secret, payload)):
        return Refusal.NOT_OURS
    # Signed, so it is as ``sign`` made it.
    action, alert_id, anomaly_id, expires_s, nonce = json.loads(payload)
    if action not in get_args(Action):
        return Refusal.NOT_OURS
    if now_ms >= expires_s * 1000:
        return Refusal.EXPIRED
    return Link(action, alert_id, anomaly_id or None, expires_s * 1000, nonce)


def nonce_of(secret: str, *parts: str) -> str:
    """The same for the same parts, so that a message sent again carries the same links; nobody else can tell it."""
    text = "\0".join(parts).encode()
    return hmac.new(secret.encode(), b"lapwing nonce 1\0" + text, hashlib.sha256).hexdigest()[:20]


def link_secret(settings: Settings) -> str:
    """The setting, else what is in the data directory's ``link.secret``, made when it is not there.

    Of two processes that make it at once both get the same. Raises ``SettingsError``.
    """
    if settings.alerter.link_secret is not None:
        secret = settings.alerter.link_secret.get_secret_value()
        if len(secret) < SHORTEST_SECRET:
            raise SettingsError(f"LAPWING_ALERTER__LINK_SECRET: must have at least {SHORTEST_SECRET} characters")
        return secret
    file = settings.data_dir / SECRET_FILE
    try:
        if not file.exists():
            _make(file)
    except OSError as error:
        raise SettingsError(f"{file}: cannot be made: {error.strerror or error}") from None
    return secret_from(str(file), "the key that signs links")


def _make(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    own = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    write_secret(own, secrets.token_urlsafe(32))
    try:
        # Unlike a rename, this never replaces what somebody else made meanwhile.
        with suppress(FileExistsError):
            os.link(own, file)
    finally:
        own.unlink()


def _mac(secret: str, payload: bytes) -> bytes:
    return hmac.new(secret.encode(), _PURPOSE + payload, hashlib.sha256).digest()[:_MAC_BYTES]


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unpacked(text: str) -> bytes:
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _packed(data) != text:  # bits that mean nothing may be anything: there is one way to write a link
        raise ValueError(text)
    return data
