"""docker-compose.yml brought up for real, told in the order in which it happens."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from tests.containers.composed import UP_WITHIN, Composed
from tests.containers.engine import Engine
from tests.containers.published import Published
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(7200)  # the first test waits for the images

SERVICES = ("ingest", "detector", "alerter", "api", "agent")
WANTED = {
    **dict.fromkeys((*SERVICES, "kafka", "clickhouse"), "healthy"),
    **dict.fromkeys(("topics", "schema"), "exited 0"),
    "mail": "running",
}


@pytest.fixture(scope="module")
def product(compose: Composed) -> Composed:
    """Up and healthy."""
    compose("up", "--detach", "--no-build", within=UP_WITHIN)
    try:
        with asyncio.Runner() as runner:
            runner.run(eventually(lambda: not compose.troubles(WANTED), within=UP_WITHIN, every=1.0))
    except AssertionError:
        troubles = compose.troubles(WANTED)
        pytest.fail(f"not healthy within {UP_WITHIN:g} s: {troubles}\n{compose.last_words(list(troubles))}")
    return compose


@pytest.fixture(scope="module")
def api(product: Composed, island: Engine) -> Published:
    return Published(island)


def test_the_file_can_be_used_with_the_settings_of_the_example(compose: Composed) -> None:
    compose("config", "--quiet")
    assert set(compose("config", "--services").split()) == set(WANTED)


def test_every_service_becomes_healthy(product: Composed) -> None:
    assert product.container("api")["Name"] in ("/lapwing_api_1", "/lapwing-api-1")
    assert product.troubles(WANTED) == {}


def test_the_numbers_are_of_this_machine(api: Published) -> None:
    cpu = api.until("/api/system/cpu/", lambda data: data["cpu_count"] > 0)
    assert cpu["cpu_count"] == psutil.cpu_count()
    assert 0 <= cpu["cpu_percent"] <= 100
    assert api.get("/api/system/memory/")["total"] == psutil.virtual_memory().total


def test_the_agent_sees_the_host_and_not_its_container(api: Published) -> None:
    disks = {disk["mountpoint"]: disk for disk in api.until("/api/system/disks/", bool)}
    assert disks["/"]["total"] == psutil.disk_usage("/").total
    interfaces = {row["interface"] for row in api.until("/api/system/network/", bool)}
    assert "docker0" in interfaces
    api.until("/api/system/processes/?limit=1000", lambda rows: "dockerd" in {row["name"] for row in rows})


@pytest.mark.parametrize("service", SERVICES)
def test_nobody_is_root_or_may_write_to_its_image(product: Composed, service: str) -> None:
    assert product.inside(service, "id", "-u").strip() == "10001"
    status = dict(line.split(":\t", 1) for line in product.inside(service, "cat", "/proc/1/status").splitlines())
    assert int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert "Read-only file system" in product.inside(service, "touch", "/opt/lapwing/it", check=False)
    product.inside(service, "mktemp")


def test_the_agent_may_not_write_to_the_host(product: Composed) -> None:
    assert "Read-only file system" in product.inside("agent", "touch", "/host/tmp/it", check=False)


def test_who_makes_no_progress_is_unhealthy(product: Composed) -> None:
    check = product.container("ingest")["Config"]["Healthcheck"]["Test"][-1]
    hung = "touch -d '2 minutes ago' run/hung.pulse; {} && echo well || echo unwell; rm run/hung.pulse"
    assert product.inside("ingest", "sh", "-c", f"{check} && echo well").split() == ["well"]
    assert product.inside("ingest", "sh", "-c", hung.format(check)).split() == ["unwell"]


async def test_a_mail_reaches_the_catcher(product: Composed, island: Engine) -> None:
    product.inside("alerter", "lapwing", "alert", "test", "email")

    def caught() -> list[dict[str, Any]]:
        with urllib.request.urlopen("http://127.0.0.1:8025/api/v1/messages", timeout=10) as answer:
            return [it for it in json.load(answer)["messages"] if it["To"][0]["Address"] == "you@example.org"]

    await eventually(lambda: island.in_its_network(caught))


async def test_killed_ingest_goes_on_where_it_was(product: Composed, api: Published, island: Engine) -> None:
    await eventually(lambda: stored(product)["events"] > 5)
    island.docker("kill", "--signal", "KILL", product.container("ingest")["Id"])
    assert product.state("ingest") == "exited 137"
    before = stored(product)

    def heard() -> datetime:
        return datetime.fromisoformat(api.get("/api/system/hosts/")[0]["last_seen"])

    killed = heard()
    await eventually(lambda: heard() > killed + timedelta(seconds=5))
    assert stored(product) == before
    product("start", "ingest")
    await eventually(lambda: stored(product)["last"] > before["last"] + 10, within=120, every=0.5)
    after = stored(product)
    assert after["events"] == after["rows"] == after["last"] - after["first"] + 1
    await eventually(lambda: product.state("ingest") == "healthy", within=120, every=1.0)


def test_who_is_asked_to_stop_stops(product: Composed) -> None:
    product("stop")
    assert {service: product.state(service) for service in SERVICES} == dict.fromkeys(SERVICES, "exited 0")


def test_nothing_is_left_after_down(product: Composed, island: Engine) -> None:
    product("down", "--volumes")
    assert island.docker("ps", "--all", "--quiet").split() == []
    assert island.docker("volume", "ls", "--quiet").split() == []
    assert set(island.docker("network", "ls", "--format", "{{.Name}}").split()) == {"bridge", "host", "none"}


def stored(product: Composed) -> dict[str, int]:
    """Of the agent's events in ClickHouse: rows, different numbers, the first and the last number."""
    query = (
        "SELECT count() AS rows, uniqExact(seq) AS events, min(seq) AS first, max(seq) AS last "
        "FROM lapwing.samples FINAL FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers=0"
    )
    url = f"http://127.0.0.1:8123/?user=lapwing&password=change-me-clickhouse&query={quote(query)}"
    return json.loads(product.inside("clickhouse", "wget", "-q", "-O-", url))  # type: ignore[no-any-return]
