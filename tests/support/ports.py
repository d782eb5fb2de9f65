"""Ports for servers that must know theirs before they listen. None is of those which the kernel gives to outgoing
connections, and two workers of pytest-xdist that ask at once are never given the same one.
"""

from __future__ import annotations

import os
import random
from itertools import islice

from shared.broker import ports


def share(of: range) -> range:
    """What of it this worker may take; all of it where there is no other."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return of[number :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]


def free_ports(count: int) -> list[int]:
    """So many, each another, where nobody listens now."""
    mine = ports.RANGE  # this worker's own: tests/conftest.py
    return list(islice(filter(ports.is_free, random.sample(mine, len(mine))), count))


def free_port() -> int:
    return free_ports(1)[0]
