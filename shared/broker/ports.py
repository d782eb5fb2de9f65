"""Two free ports on the loopback, the same ones from start to start as long as nobody else took them."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from pathlib import Path

from shared.broker.embedded import BrokerError

# Below the range from which the kernel takes the ports of outgoing connections: nobody sits there by chance.
RANGE = range(20_000, 32_000)


def two_ports(memory: Path, *, ours: Callable[[], bool] = lambda: False) -> tuple[int, int]:
    """The ports ``memory`` names when both are free or ``ours()``; else new ones, which it names from then on.

    Raises ``OSError`` where ``memory`` cannot be written and ``BrokerError`` where no port is free.
    """
    remembered = _remembered(memory)
    if remembered and (all(map(is_free, remembered)) or ours()):
        return remembered
    for _ in range(200):
        pair = tuple(random.sample(RANGE, 2))
        if all(map(is_free, pair)):
            memory.write_text(f"{pair[0]} {pair[1]}\n")
            return pair[0], pair[1]
    raise BrokerError(f"no two ports of {RANGE.start}-{RANGE.stop - 1} on 127.0.0.1 are free")


def is_free(port: int) -> bool:
    """Whether a server may listen there now; connections that are only fading away do not count."""
    with socket.socket() as it:
        it.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            it.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _remembered(memory: Path) -> tuple[int, int] | None:
    try:
        first, second = (int(word) for word in memory.read_text().split())
    except (OSError, ValueError):
        return None
    return (first, second) if {first, second} <= set(range(1024, 65_536)) and first != second else None
