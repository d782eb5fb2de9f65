"""HTTP basic authentication, for programs that speak to an Alertmanager: a user's name and password, or a token as the
password. A password costs a tenth of a second to check, so what was right is remembered for a while.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from services.api import messages
from services.api.auth.accounts import Accounts
from services.api.auth.attempts import Attempt, Attempts
from services.api.auth.passwords import LONGEST
from services.api.auth.principal import Principal
from services.api.errors import ApiError, too_many
from shared.runtime.clock import Clock

HOLDS = 60.0  # seconds
MOST_REMEMBERED = 1000
LONGEST_NAME = 256


class Basic:
    def __init__(self, accounts: Accounts, attempts: Attempts, clock: Clock) -> None:
        self._accounts = accounts
        self._attempts = attempts
        self._clock = clock
        self._logins: dict[bytes, tuple[float, str]] = {}

    async def principal(self, header: bytes, address: str) -> Principal | None:
        """Of an ``Authorization`` header; ``None`` when it is nobody's. Raises ``ApiError`` 429, 503."""
        name, password = _read(header)
        if not password:
            return None
        if found := self._accounts.principal(password):
            return found
        if len(name) > LONGEST_NAME or len(password) > LONGEST:
            return None  # and nothing of it is kept
        digest = hashlib.sha256(header).digest()
        now = self._clock.monotonic()
        until, token = self._logins.get(digest, (0.0, ""))
        if now < until and (found := self._accounts.principal(token)):
            return found
        attempt = Attempt(name, address)
        if wait := self._attempts.begin(attempt, now):
            raise too_many(messages.LOGIN_LIMITED.of(seconds=wait), wait)
        try:
            login = await self._accounts.login(name, password)
        except ApiError as error:
            if error.status == 401:
                return None
            raise
        self._attempts.succeeded(attempt)
        if len(self._logins) >= MOST_REMEMBERED:
            self._logins.clear()
        self._logins[digest] = now + HOLDS, login.token
        return self._accounts.principal(login.token)


def is_basic(headers: list[tuple[bytes, bytes]]) -> bytes:
    """The header where it is of this kind, else nothing."""
    header = next((value for name, value in headers if name == b"authorization"), b"")
    return header if header[:6].lower() == b"basic " else b""


def _read(header: bytes) -> tuple[str, str]:
    try:
        name, _, password = base64.b64decode(header[6:].strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return name, password
