"""What works while the broker is away."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.ports import free_port
from tests.support.product import Product, running
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Earlier:
    """What a product that ran and was stopped has left, for all tests here; ``memory`` is what it answered."""

    data_dir: Path
    memory: dict[str, Any]


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Earlier:
    data_dir = tmp_path_factory.mktemp("earlier")
    with running(data_dir) as product:
        product.until("/api/system/history/?metric=cpu.percent", lambda data: bool(data["series"]))
        memory = product.get("/api/system/memory/")
        assert product.stop() == 0
    return Earlier(data_dir, memory)


@contextmanager
def unused_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        yield taken.getsockname()[1]


def ready_to_answer(product: Product) -> bool:
    try:
        return product.request("/api/system/cpu/")[0] == 401
    except OSError:
        return False


def test_an_api_that_starts_while_the_broker_is_away_tells_what_the_store_knows(earlier: Earlier) -> None:
    with unused_port() as port:
        nowhere = f"127.0.0.1:{port}"
        with running(earlier.data_dir, "api", LAPWING_KAFKA__BOOTSTRAP_SERVERS=nowhere) as api:
            assert api.get("/api/system/memory/")["total"] == earlier.memory["total"]
            assert api.get("/api/system/history/?metric=cpu.percent")["series"]
            status, body = api.request("/readyz")
            assert (status, body["failures"]) == (200, {}) and nowhere in body["warnings"]["api: bus"]
            assert api.request("/healthz")[0] == 200
            assert nowhere in api.said()
            assert api.stop() == 0


def test_the_whole_product_waits_for_its_broker_and_answers_meanwhile(earlier: Earlier) -> None:
    with unused_port() as nowhere:
        port = free_port()
        waiting = Product(
            earlier.data_dir, LAPWING_KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:{nowhere}", LAPWING_API__PORT=str(port)
        )
        process = waiting.begin()
        try:
            waiting.url = f"http://127.0.0.1:{port}"
            asyncio.run(eventually(lambda: process.poll() is not None or ready_to_answer(waiting)))
            assert waiting.get("/api/system/memory/")["total"] == earlier.memory["total"]
            status, body = waiting.request("/readyz")
            assert (status, list(body["warnings"])) == (200, ["api: bus"]), body
            assert "waiting for the broker" in waiting.said()
            assert waiting.stop() == 0
        finally:
            waiting.kill()
