"""The story of the product on one machine, through its real parts: `lapwing up` as a child process, this machine's
own numbers, a real HTTP receiver and a real SMTP server. Told in the order in which it happens.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psutil
import pytest

from tests.support.product import Product, running
from tests.support.receivers import Mailbox, Webhooks, mail_receiver, webhook_receiver

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def receivers() -> Iterator[tuple[Webhooks, Mailbox]]:
    with webhook_receiver() as hooks, mail_receiver() as mailbox:
        yield hooks, mailbox


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory, receivers: tuple[Webhooks, Mailbox]) -> Iterator[Product]:
    hooks, mailbox = receivers
    with running(
        tmp_path_factory.mktemp("lapwing"),
        LAPWING_ALERTER__WEBHOOK_URL=hooks.url,
        LAPWING_ALERTER__EMAIL_TO="ops@example.org",
        LAPWING_SMTP__HOST=mailbox.host,
        LAPWING_SMTP__PORT=str(mailbox.port),
        LAPWING_SMTP__SECURITY="none",
        LAPWING_SMTP__FROM="lapwing@example.org",
        LAPWING_DETECTOR__WARMUP_SECONDS="20",
    ) as it:
        yield it


def test_the_first_numbers_are_there_soon_after_the_banner(product: Product) -> None:
    product.until("/api/system/monitor/", lambda data: data["cpu"]["cpu_count"] > 0)


def test_the_system_is_this_machine(product: Product) -> None:
    system = product.get("/api/system/system/")
    assert system["hostname"] == platform.node()
    assert system["architecture"] == platform.machine()
    booted = datetime.fromisoformat(system["boot_time"])
    assert abs(booted.timestamp() - psutil.boot_time()) < 3
    assert booted.tzinfo == UTC


def test_cpu_and_memory_are_what_psutil_says(product: Product) -> None:
    cpu = product.get("/api/system/cpu/")
    assert cpu["cpu_count"] == psutil.cpu_count()
    assert 0 <= cpu["cpu_percent"] <= 100
    assert cpu["load_avg"] == pytest.approx(os.getloadavg(), abs=1.5)

    memory, ours = psutil.virtual_memory(), product.get("/api/system/memory/")
    assert ours["total"] == memory.total
    assert ours["available"] == pytest.approx(memory.available, abs=memory.total * 0.05)
    assert ours["used"] == pytest.approx(memory.used, abs=memory.total * 0.05)
    assert ours["percent"] == pytest.approx(memory.percent, abs=5)


def test_disks_are_what_psutil_says(product: Product) -> None:
    disks = {d["mountpoint"]: d for d in product.get("/api/system/disks/")}
    usage = psutil.disk_usage("/")
    assert disks["/"]["total"] == usage.total
    assert disks["/"]["percent"] == pytest.approx(usage.percent, abs=1)


def test_network_counters_lie_between_two_looks(product: Product) -> None:
    before = psutil.net_io_counters(pernic=True)
    product.until("/api/system/network/", lambda rows: rows[0]["bytes_recv"] >= before[rows[0]["interface"]].bytes_recv)
    rows = product.get("/api/system/network/")
    after = psutil.net_io_counters(pernic=True)
    assert {r["interface"] for r in rows} == set(after)
    for row in rows:
        assert row["bytes_recv"] <= after[row["interface"]].bytes_recv


def test_the_process_list_shows_the_product_itself(product: Product) -> None:
    rows = product.until(
        "/api/system/processes/?limit=1000&sort_by=memory_percent",
        lambda rows: any(r["pid"] == product.pid for r in rows),
    )
    ours = next(r for r in rows if r["pid"] == product.pid)
    theirs = psutil.Process(product.pid)
    assert ours["name"] == theirs.name()
    assert ours["cmdline"] == theirs.cmdline()
    assert ours["memory_info"]["rss"] == pytest.approx(theirs.memory_info().rss, rel=0.5)
    assert abs(datetime.fromisoformat(ours["create_time"]).timestamp() - theirs.create_time()) < 2


def test_the_gpu_answer_says_why_there_is_none(product: Product) -> None:
    gpu = product.get("/api/system/gpu/")
    if not gpu["gpu_available"]:
        assert gpu["message"] in ("未检测到GPU设备", "GPU监控不可用,请安装GPUtil库")


def test_history_grows_and_comes_from_the_store(product: Product) -> None:
    def points(data: dict) -> int:
        return sum(len(s["points"]) for s in data["series"])

    path = "/api/system/history/?metric=cpu.percent&from=now-15m&to=now&step=1s"
    first = product.until(path, lambda data: points(data) >= 3)
    product.until(path, lambda data: points(data) >= points(first) + 3)


def test_strangers_are_kept_out(product: Product) -> None:
    assert product.request("/api/system/cpu/") == (401, {"success": False, "code": 401, "message": "未授权访问"})


def test_a_busy_machine_reaches_the_pager_and_the_list_and_calms_down(
    product: Product, receivers: tuple[Webhooks, Mailbox]
) -> None:
    hooks, mailbox = receivers
    product.until("/api/system/hosts/", lambda hosts: hosts[0]["score"] is not None)
    with every_core_busy():
        product.until("/api/system/anomalies/", lambda page: _of(page, finding="cpu_overload"))
        product.until("/api/system/alerts/", lambda page: _of(page, rule="cpu_busy", state="firing"))
        _wait(lambda: _posted(hooks, "firing"), 60)
        _wait(lambda: mailbox.messages, 60)
    assert hooks.bodies[0]["version"] == "4"
    assert mailbox.recipients[0] == ["ops@example.org"]
    # One of the two says it: what a limit says already is not said again by who found it unusual.
    assert not [b for b in hooks.bodies if b["commonLabels"].get("finding") == "cpu_overload"]

    product.until("/api/system/alerts/", lambda page: not _of(page, rule="cpu_busy", state="firing"))
    product.until(
        "/api/system/anomalies/",
        lambda page: _of(page, finding="cpu_overload") == _of(page, finding="cpu_overload", state="close"),
    )
    _wait(lambda: _posted(hooks, "resolved"), 60)


def _of(page: dict, **wanted: str) -> list[dict]:
    return [item for item in page["items"] if all(item[k] == v for k, v in wanted.items())]


def _posted(hooks: Webhooks, status: str) -> list[dict]:
    return [b for b in hooks.bodies if b["status"] == status and b["commonLabels"].get("alertname") == "cpu_busy"]


def test_ctrl_c_is_clean_and_a_restart_keeps_everything(product: Product) -> None:
    path = "/api/system/history/?metric=memory.percent&from=now-1h&to=now&step=1s"
    before = product.get(path)["series"][0]["points"]
    anomalies = len(product.get("/api/system/anomalies/")["items"])

    seen = datetime.fromisoformat(product.get("/api/system/hosts/")[0]["last_seen"])
    assert product.stop(signal.SIGINT) == 0
    assert "Traceback" not in product.said()

    product.start()
    product.until("/api/system/monitor/", lambda data: data["memory"]["total"] > 0)
    after = dict(map(tuple, product.get(path)["series"][0]["points"]))
    assert [at for at, _ in before if at not in after] == []
    # What had been heard but not been stored yet is there too.
    assert int(seen.timestamp()) * 1000 in after
    assert len(product.get("/api/system/anomalies/")["items"]) >= anomalies
    assert product.stop(signal.SIGTERM) == 0


def _wait(condition: object, within: float) -> None:
    deadline = time.monotonic() + within
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"not within {within} s"
        time.sleep(0.1)


@contextmanager
def every_core_busy() -> Iterator[None]:
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(psutil.cpu_count() or 1)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
