"""Which addresses are the internet's own: where somebody may send us whom we do not trust."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether ``address`` is unicast on the internet, and so is every IPv4 address that it wraps: not loopback,
    private, link-local, multicast or reserved. What is no address is not.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(
        one.is_global and not one.is_multicast and not one.is_reserved and not _is_site(one) for one in _meant(ip)
    )


def _is_site(ip: Ip) -> bool:
    """What private networks of IPv6 were before there were unique local ones: given up, but still routed."""
    return ip.version == 6 and ip.is_site_local


def _meant(ip: Ip) -> Iterator[Ip]:
    wrapped = list(_wrapped(ip)) if isinstance(ip, ipaddress.IPv6Address) else []
    yield from wrapped
    # Where all that counts is the address inside, the outside is formally reserved.
    if not wrapped or (ip.version == 6 and ip.teredo):
        yield ip


def _wrapped(ip: ipaddress.IPv6Address) -> Iterator[ipaddress.IPv4Address]:
    if inner := ip.ipv4_mapped or ip.sixtofour:
        yield inner
    yield from ip.teredo or ()
    if ip in _NAT64 or not int(ip) >> 32:
        yield ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
