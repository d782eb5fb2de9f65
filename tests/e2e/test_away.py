"""What works while the broker is away."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support.product import running

pytestmark = pytest.mark.timeout(180)


def test_an_api_that_starts_while_the_broker_is_away_tells_what_the_store_knows(tmp_path: Path) -> None:
    with running(tmp_path) as product:
        product.until("/api/system/history/?metric=cpu.percent", lambda data: bool(data["series"]))
        before = product.get("/api/system/memory/")
        assert product.stop() == 0
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        nowhere = f"127.0.0.1:{taken.getsockname()[1]}"
        with running(tmp_path, "api", LAPWING_KAFKA__BOOTSTRAP_SERVERS=nowhere) as api:
            assert api.get("/api/system/memory/")["total"] == before["total"]
            assert api.get("/api/system/history/?metric=cpu.percent")["series"]
            status, body = api.request("/readyz")
            assert status == 503 and "bus" in str(body["failures"])
            assert api.request("/healthz")[0] == 200
            assert nowhere in api.said()
            assert api.stop() == 0
