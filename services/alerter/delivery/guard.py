"""Where a stranger's URL may lead: to the public internet only, and to the very address that was looked at.

The name is resolved here, every address it has is judged, and the connection goes to one of those: asked again, a
name may have another answer.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

import httpx

from shared.alerting.public_addresses import is_public

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Name, port -> addresses. Raises ``OSError``."""


class Forbidden(httpx.RequestError):
    """The URL leads to where it may not."""


async def resolve(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Guarded(httpx.AsyncBaseTransport):
    def __init__(self, inner: httpx.AsyncBaseTransport | None = None, *, lookup: Resolve = resolve) -> None:
        self._inner = inner or httpx.AsyncHTTPTransport()
        self._lookup = lookup

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises ``Forbidden`` before anything is sent."""
        host = request.url.host
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        try:
            addresses = await self._lookup(host, port)
        except OSError as error:
            raise httpx.ConnectError(f"{host} has no address: {error.strerror or error}", request=request) from None
        for address in addresses:
            if not is_public(address):
                raise Forbidden(
                    f"{host} is at {address}, which is not a public address; for a receiver that was entered through"
                    " the API that is allowed by LAPWING_ALERTER__ALLOW_PRIVATE_RECEIVERS only",
                    request=request,
                )
        refused: httpx.ConnectError | None = None
        for address in addresses:
            try:
                return await self._inner.handle_async_request(_at(request, address))
            except httpx.ConnectError as error:
                refused = error
        raise refused or httpx.ConnectError(f"{host} has no address", request=request)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _at(request: httpx.Request, address: str) -> httpx.Request:
    """The same request, its connection to ``address``; the ``Host`` header and the certificate's name stay."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.host},
    )
