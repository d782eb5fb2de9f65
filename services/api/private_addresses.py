"""Whether an address that somebody entered leads out, or into the network we are in.

Looked at when it is entered, so that somebody hears why; whoever connects looks again, for names change.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import SplitResult, parse_qsl, urlsplit

from services.api import messages
from services.api.errors import bad_parameter
from shared.alerting.fixed_services import FIXED
from shared.alerting.public_addresses import is_public

Resolve = Callable[[str], Awaitable[list[str]]]
RESOLVED_WITHIN = 5.0  # seconds
_ADDRESSES_IN_QUERY = frozenset({"smtp", "host", "hostname", "server", "url", "proxy"})


async def resolved(host: str) -> list[str]:
    """Every address of ``host``, also where it is written as one; none where it has none."""
    try:
        async with asyncio.timeout(RESOLVED_WITHIN):
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        return []
    return [str(entry[4][0]) for entry in found]


async def check_webhook(target: str, resolve: Resolve) -> None:
    """Raises ``ApiError`` 422 unless every address of its host leads out."""
    await _check_host(_split(target).hostname or "", resolve, must_exist=True)


async def check_apprise(target: str, resolve: Resolve) -> None:
    """Raises ``ApiError`` 422 unless it is a service that is in one place, and its options name no private address."""
    parts = _split(target)
    if parts.scheme not in FIXED:
        raise bad_parameter("target", messages.A_FIXED_SERVICE.of(known=", ".join(sorted(FIXED))))
    for name, value in parse_qsl(parts.query):
        host = _split(value).hostname if "://" in value else value if name.lower() in _ADDRESSES_IN_QUERY else ""
        await _check_host((host or "").rsplit("@")[-1].partition("/")[0], resolve, must_exist=False)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise bad_parameter("target", messages.A_URL) from None


async def _check_host(host: str, resolve: Resolve, *, must_exist: bool) -> None:
    if not host and not must_exist:
        return
    addresses = await resolve(host) if host else []
    if not addresses and must_exist:
        raise bad_parameter("target", messages.A_HOST_THAT_IS_KNOWN.of(host=host[:80]))
    if not all(map(is_public, addresses)):
        raise bad_parameter("target", messages.NOT_PRIVATE)
