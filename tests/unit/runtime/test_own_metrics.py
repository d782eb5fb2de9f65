"""A service that runs without the API says its numbers at a port of its own, where it was asked to."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from services import compose
from shared.runtime.health import Health
from shared.runtime.own_metrics import MEASURED, MetricsPort
from shared.runtime.selfmetrics import ALERTER_OPEN
from shared.runtime.serving import CannotListen
from shared.runtime.settings import Settings


async def asked(port: MetricsPort, path: str, method: str = "GET") -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.request(method, f"http://127.0.0.1:{port.address[1]}{path}")


async def test_it_says_numbers_health_and_the_process() -> None:
    health = Health(progress={"alerter": lambda: "nothing was decided"}, warnings={"alerter": lambda: None})
    port = MetricsPort(health, "127.0.0.1", 0)
    await port.start()
    try:
        ALERTER_OPEN.set(7)
        said = await asked(port, "/metrics")
        assert said.status_code == 200
        assert said.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        lines = said.text.splitlines()
        assert "lapwing_alerter_open_alerts 7" in lines
        assert 'lapwing_health_trouble{kind="progress",check="alerter"} 1' in lines
        assert 'lapwing_health_trouble{kind="warning",check="alerter"} 0' in lines
        assert any(line.startswith("process_resident_memory_bytes ") for line in lines)
        assert (await asked(port, "/metrics", "HEAD")).content == b""
        assert (await asked(port, "/metrics", "POST")).status_code == 405
        assert (await asked(port, "/api/auth/login/")).status_code == 404
    finally:
        await port.stop()
    with pytest.raises(httpx.ConnectError):
        await asked(port, "/metrics")


async def test_a_port_that_is_taken_is_named_with_its_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=rf"port {number} .* is taken.*LAPWING_METRICS__PORT"):
            await MetricsPort(Health(), "127.0.0.1", number).start()


def ports(tmp_path: Path, *names: str, **metrics: Any) -> list[tuple[str, int]]:
    """Where a process of these services would listen for it."""
    kafka = {"bootstrap_servers": "127.0.0.1:9"}
    settings = Settings.model_validate({"data_dir": tmp_path, "kafka": kafka, "metrics": metrics})
    return [(part._host, part._port) for part in compose._measured(settings, names, Health())]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("name", "port"), [*zip(MEASURED, (9464, 9465, 9466), strict=True)])
def test_services_of_one_machine_have_ports_next_to_each_other(tmp_path: Path, name: str, port: int) -> None:
    assert ports(tmp_path, name) == []
    assert ports(tmp_path, name, port=9464) == [("127.0.0.1", port)]
    assert ports(tmp_path, name, port=0, host="0.0.0.0") == [("0.0.0.0", 0)]


@pytest.mark.parametrize("names", [compose.SERVICES, ("api",), ("agent",)])
def test_neither_who_has_the_api_nor_an_agent_opens_one(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert ports(tmp_path, *names, port=9464) == []


async def test_it_is_there_while_the_service_still_waits_for_its_broker(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {"data_dir": tmp_path, "kafka": {"bootstrap_servers": "127.0.0.1:9"}, "metrics": {"port": 0}}
    )
    product = compose.build(settings, ["alerter"])
    try:
        names = [part.name for part in product.parts]
        assert names.index("metrics") < names.index("topics")
        assert "pulse" in names
    finally:
        await product.part("data directory").stop()
