"""How often passwords may be guessed, without a stranger's guesses locking out the one who knows.

What counts are wrong passwords: of one user from one address; of all users from one address (who tries one password on
many); and of one user from everywhere (many addresses that guess together). The last leaves out the addresses where
this user has logged in before, so that it cannot be used against who is at home there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from starlette.types import Scope

from services.api.auth.limiter import Limiter

OF_AN_ADDRESS = 5  # times what one user at one address may
OF_A_USER = 10
MOST_HOMES = 10_000
_HOME_NETWORK = 64  # bits of an IPv6 address that one customer has to himself

Network = IPv4Network | IPv6Network


class Attempt(NamedTuple):
    user: str
    address: str

    @property
    def keys(self) -> dict[Hashable, int]:
        """Under which it counts, and how many times the most of the first each may have."""
        return {("pair", *self): 1, ("address", self.address): OF_AN_ADDRESS, ("user", self.user): OF_A_USER}


class Attempts:
    """``most``: wrong passwords in any minute, of one user from one address."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._limiter = Limiter()
        self._homes: OrderedDict[Attempt, None] = OrderedDict()

    def begin(self, attempt: Attempt, now: float) -> int:
        """Counts it, as a wrong one until ``succeeded``; 0, or where it may not be made the whole seconds to wait."""
        keys = attempt.keys
        if attempt in self._homes:
            del keys["user", attempt.user]
        if wait := max(self._limiter.wait(key, times * self._most, now) for key, times in keys.items()):
            return wait
        for key in attempt.keys:
            self._limiter.count(key, now)
        return 0

    def succeeded(self, attempt: Attempt) -> None:
        for key in attempt.keys:
            self._limiter.take_back(key)
        self._homes[attempt] = None
        self._homes.move_to_end(attempt)
        while len(self._homes) > MOST_HOMES:
            self._homes.popitem(last=False)


class Addresses:
    """Where requests come from, as far as that can be believed. ``proxies``: addresses and networks."""

    def __init__(self, proxies: list[str]) -> None:
        self._proxies: list[Network] = [ip_network(proxy) for proxy in proxies]

    def of(self, scope: Scope) -> str:
        """The client's; behind one of our proxies what it says of it: of `X-Forwarded-For` the last that is no proxy,
        for what stands before that anybody may have written.
        """
        client = scope.get("client")
        address = _address(client[0]) if client else None
        if address is None:
            return "local"
        for said in reversed(_forwarded_for(scope) if self._is_proxy(address) else []):
            further = _address(said)
            if further is None:
                break
            address = further
            if not self._is_proxy(address):
                break
        if isinstance(address, IPv6Address):
            return str(ip_network((address, _HOME_NETWORK), strict=False))
        return str(address)

    def _is_proxy(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._proxies)


def _forwarded_for(scope: Scope) -> list[str]:
    said = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return ",".join(said).split(",")


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address
