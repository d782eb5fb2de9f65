"""Telling whoever started this process that it does its work now: systemd's ``sd_notify``, which our own supervisor
speaks as well.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

READY = b"READY=1"
VARIABLE = "NOTIFY_SOCKET"


def tell_ready(environ: Mapping[str, str] = os.environ) -> None:
    """Nothing happens where nobody asked to be told, or nobody listens any more."""
    address = environ.get(VARIABLE, "")
    if address[:1] not in ("/", "@"):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(READY, "\0" + address[1:] if address[0] == "@" else address)
