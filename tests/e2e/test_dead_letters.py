"""``lapwing dlq`` beside a running product with both engines inside it, as a person uses it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from shared.bus.connection import why_not
from shared.bus.kafka import publisher
from shared.runtime.settings import KafkaSettings
from shared.schemas.topics import METRICS
from tests.support.broker import settings_for
from tests.support.product import PATIENCE, Product, running
from tests.support.samples import host_sample

pytestmark = pytest.mark.timeout(900)  # a command takes ten seconds where others work too

EARLY_MS = 15_000  # long enough for a slow machine to look at it before its time, and it is waited for


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    settings = {"LAPWING_INGEST__MAX_FUTURE_SECONDS": "1", "LAPWING_INGEST__BATCH_SECONDS": "0.5"}
    with running(tmp_path_factory.mktemp("product"), **settings) as it:
        yield it


def dlq(product: Product, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("LAPWING_")}
    return subprocess.run(
        [sys.executable, "-m", "services", "dlq", *arguments],
        env=env | {"LAPWING_DATA_DIR": product.data_dir},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def listed(product: Product, *arguments: str) -> Any:
    done = dlq(product, "list", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["items"]


async def broker_inside(product: Product) -> KafkaSettings:
    """It is at some port of this machine."""
    api = product.url.rsplit(":", 1)[1]
    ports = {
        c.laddr.port
        for c in psutil.Process(product.pid).net_connections("tcp")
        if c.status == psutil.CONN_LISTEN and str(c.laddr.port) != api
    }
    for port in ports:
        kafka = settings_for(f"127.0.0.1:{port}", Path(product.data_dir)).kafka
        if await why_not(kafka) is None:
            return kafka
    raise AssertionError(f"no broker at any of {ports}")


async def send(kafka: KafkaSettings, *values: bytes) -> None:
    out = publisher(kafka, "test")
    await out.start()
    for value in values:
        await out.publish(METRICS, "web-1", value)
    await out.stop()


def until_listed(product: Product, count: int) -> Any:
    deadline = time.monotonic() + PATIENCE
    while len(found := listed(product)) < count:
        assert time.monotonic() < deadline, found
    return found


def test_a_letter_is_listed_shown_sent_again_and_dropped(product: Product) -> None:
    kafka = asyncio.run(broker_inside(product))
    ts = round(time.time() * 1000) + EARLY_MS
    early = json.dumps(host_sample(ts=ts, event_id=f"web-1-{ts}")).encode()
    asyncio.run(send(kafka, b"\x1b[31mgarbage", early))
    letters = {letter["stage"]: letter for letter in until_listed(product, 2)}

    table = dlq(product, "list", "--topic", "metrics", "--since", "1h").stdout
    assert "in the future" in table and letters["time"]["id"] in table

    shown = dlq(product, "show", letters["decode"]["id"])
    assert "[31mgarbage" in shown.stdout and "\x1b" not in shown.stdout, "a terminal takes no orders from a host"

    while time.time() * 1000 < ts:
        time.sleep(0.2)  # what is waited for is the time itself
    assert dlq(product, "retry", "--stage", "time", "--dry-run").stdout == "would send 1 again\n"
    assert dlq(product, "retry", "--stage", "time").stdout.startswith("sent 1 again")
    product.until("/api/system/hosts/", lambda hosts: any(h["id"] == host_sample()["host_id"] for h in hosts))

    undecided = dlq(product, "drop", letters["decode"]["id"])
    assert (undecided.returncode, undecided.stdout) == (2, "would drop 1; do it with --yes\n")
    assert dlq(product, "drop", letters["decode"]["id"], "--yes").stdout == "dropped 1\n"
    assert dlq(product, "list").stdout == "no dead letters\n"
    assert {letter["state"] for letter in listed(product, "--state", "retried", "--state", "dropped")} == {
        "retried",
        "dropped",
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["drop", "--yes"], "name the letters"),
        (["retry"], "name the letters"),
        (["list", "--topic", "weather"], "there is no topic 'weather'; there are metrics, logs"),
        (["show", "0123456789abcdef"], "Unknown dead letter: 0123456789abcdef"),
        (["list", "--since", "yesterday"], "since"),
    ],
)
def test_what_it_cannot_work_with_is_one_clear_line(product: Product, arguments: list[str], said: str) -> None:
    done = dlq(product, *arguments)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr


def test_with_nothing_running_there_is_no_broker_inside_it_to_send_to(tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("LAPWING_")} | {"LAPWING_DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "services", "dlq", "retry", "--stage", "time"],
        env=env, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 2
    assert "this broker lives inside `lapwing up`; start it first" in done.stderr
