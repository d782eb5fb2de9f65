from __future__ import annotations

import socket
from pathlib import Path

import pytest

from shared.runtime.readiness import tell_ready


@pytest.mark.parametrize("kind", ["file", "abstract"])
def test_whoever_asked_is_told(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    name = f"lapwing-test-{tmp_path.name}-{id(tmp_path)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(5)
        if kind == "abstract":
            listener.bind("\0" + name)
            tell_ready({"NOTIFY_SOCKET": "@" + name})
        else:
            listener.bind("notify")
            tell_ready({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert listener.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "@nobody-listens-here", "/nobody/listens/here", "vsock:2:1"])
def test_where_nobody_asked_or_listens_nothing_happens(address: str) -> None:
    tell_ready({"NOTIFY_SOCKET": address} if address else {})
