"""From a fault to the webhook that tells of it: the whole embedded product at one sample a second, a critical rule.

``python -m benchmarks.paging [faults]`` makes the fault at random phases of the second: memory taken at once (a file
on /dev/shm), against a rule a little above what was used before. It prints where the time goes: until the sample that
shows it was taken (the phase, half a second on average), until that sample was on its topic, until the alert was on its
topic, until the receiver had the message. Target: median at most 1.2 s, at most 2.5 s.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar

import psutil

from shared.bus.kafka import tail
from shared.runtime.settings import Settings
from shared.schemas.topics import ALERTS, METRICS
from tests.support.product import Product

T = TypeVar("T")

SHARE = 5.0
"""Percent of memory a fault takes."""
RULE = """
shipped: false
rules:
  - {{name: fault, title: A fault, metric: memory.percent, above: {above}, leave: {leave}, severity: critical}}
"""
ROUTING = """
route: {{receiver: hook, group_by: [alertname], group_wait: 0s, group_interval: 1s}}
receivers:
  - {{name: hook, webhooks: [{{url: "{url}"}}], cap: {{messages: 1000, per: 1m}}}}
flapping: {{times: 100, within: 1s}}  # the same fault twenty times is what it is
"""
PARTS = ("sampling", "publish", "decision", "delivery", "in all")


class Arrivals:
    def __init__(self) -> None:
        self.url = ""
        self.firing: list[tuple[float, float]] = []
        """When, and for the alert that began when (event time), in seconds."""
        self.resolved = 0
        self.changed = threading.Event()


@contextmanager
def receiver() -> Iterator[Arrivals]:
    arrivals = Arrivals()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            now = time.time()
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            if body["status"] == "firing":
                arrivals.firing.append((now, _seconds(body["alerts"][0]["startsAt"])))
            else:
                arrivals.resolved += 1
            arrivals.changed.set()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    arrivals.url = f"http://127.0.0.1:{server.server_address[1]}/"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield arrivals
    finally:
        server.shutdown()


def main(faults: float = 20) -> None:
    told: list[tuple[float, float, float]] = []
    with tempfile.TemporaryDirectory() as folder, receiver() as arrivals:
        rules = Path(folder) / "rules.yaml"
        rules.write_text("shipped: false\nrules: []\n")
        routing = Path(folder) / "routing.yaml"
        routing.write_text(ROUTING.format(url=arrivals.url))
        product = Product(
            Path(folder) / "data",
            LAPWING_ALERTER__RULES=str(rules),
            LAPWING_ALERTER__ROUTING=str(routing),
            LAPWING_ALERTER__HOST_SILENT_AFTER="3600",
        )
        product.start()
        try:
            product.login()
            product.until("/api/system/monitor/", lambda data: data["memory"]["percent"] > 0)
            time.sleep(10)  # its own start is over, and its memory is what it will be
            used = psutil.virtual_memory().percent
            rules.write_text(RULE.format(above=used + 0.6 * SHARE, leave=used + 0.4 * SHARE))
            time.sleep(5)  # files are looked at every two seconds
            for number in range(int(faults)):
                told.append(_fault(arrivals, number + 1))
            sampled, decided = asyncio.run(_published(product))
        finally:
            product.stop()
    rows = [
        (began - at, sampled[began] - began, decided[began] - sampled[began], arrived - decided[began], arrived - at)
        for at, began, arrived in told
    ]
    print(f"| fault to webhook, {len(rows)} faults | median | max |\n|---|---:|---:|")
    for part, values in zip(PARTS, zip(*rows, strict=True), strict=True):
        print(f"| {part} | {statistics.median(values):.3f} s | {max(values):.3f} s |")


def _fault(arrivals: Arrivals, number: int) -> tuple[float, float, float]:
    """When it was there, the time of the sample that showed it, and when the receiver heard."""
    taken = Path("/dev/shm/lapwing-benchmark")
    with taken.open("wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, round(psutil.virtual_memory().total * SHARE / 100))
            at = time.time()
            arrived, began = _until(lambda: arrivals.firing[number - 1 :], arrivals)[0]
        finally:
            taken.unlink()
    _until(lambda: arrivals.resolved >= number, arrivals)
    time.sleep(random.uniform(2, 3))  # the group's interval, and some phase of the second
    return at, began, arrived


def _until(condition: Callable[[], T], arrivals: Arrivals, within: float = 60.0) -> T:
    deadline = time.monotonic() + within
    while not (found := condition()):
        arrivals.changed.wait(0.05)
        arrivals.changed.clear()
        if time.monotonic() > deadline:
            raise AssertionError("the receiver was not told")
    return found


async def _published(product: Product) -> tuple[dict[float, float], dict[float, float]]:
    """When the samples, and the firing alerts that began with them, were given to the broker, by the sample's time."""
    kafka = Settings.model_validate({"kafka": {"bootstrap_servers": _broker_of(product)}}).kafka
    sampled: dict[float, float] = {}
    decided: dict[float, float] = {}
    reading = tail(kafka, [METRICS, ALERTS], "benchmark")
    await reading.start()
    async for batch in reading.messages():
        for message in batch:
            for line in (message.value or b"").splitlines():
                event = json.loads(line)
                if message.topic == METRICS.name:
                    sampled[event["ts"] / 1000] = message.timestamp_ms / 1000
                elif event["kind"] == "alert" and event["state"] == "firing":
                    decided.setdefault(event["started_at"] / 1000, message.timestamp_ms / 1000)
        if reading.lag() <= 0:
            break
    await reading.stop()
    return sampled, decided


def _broker_of(product: Product) -> str:
    """The embedded broker takes a free port and tells nobody outside."""
    api = int(product.url.rpartition(":")[2])
    listening = [c.laddr for c in psutil.Process(product.pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    return next(f"{address.ip}:{address.port}" for address in listening if address.port != api)


def _seconds(instant: str) -> float:
    return datetime.fromisoformat(instant.replace("Z", "+00:00")).timestamp()


if __name__ == "__main__":
    main(*(float(a) for a in sys.argv[1:]))
