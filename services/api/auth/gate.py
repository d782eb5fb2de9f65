"""Who a request comes from, told by its headers; and whether a write that a cookie authorises was meant."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from services.api import messages
from services.api.auth.accounts import Accounts
from services.api.auth.principal import Principal
from services.api.errors import forbidden

COOKIE = "lapwing_session"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Gate:
    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def principal(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> Principal | None:
        """A bearer token wins over a cookie. Raises ``ApiError`` 403 on a cookie's write without its CSRF token."""
        authorization = cookie = csrf = site = b""
        for name, value in headers:
            if name == b"authorization":
                authorization = value
            elif name == b"cookie":
                cookie = value
            elif name == b"x-csrf-token":
                csrf = value
            elif name == b"sec-fetch-site":
                site = value
        if authorization:
            scheme, _, credential = authorization.partition(b" ")
            if scheme.lower() != b"bearer":
                return None
            return self._accounts.principal(credential.strip().decode("latin-1"))
        session = _cookie(cookie)
        if not session:
            return None
        principal = self._accounts.principal(session)
        if principal is not None and method not in SAFE:
            if site in (b"cross-site", b"same-site"):
                raise forbidden(messages.CROSS_SITE)
            if not hmac.compare_digest(csrf, self._accounts.csrf(principal.session_id).encode()):
                raise forbidden(messages.CSRF_MISSING)
        return principal


def _cookie(header: bytes) -> str:
    for part in header.split(b";"):
        name, _, value = part.strip().partition(b"=")
        if name == COOKIE.encode():
            return value.strip(b'"').decode("latin-1")
    return ""
