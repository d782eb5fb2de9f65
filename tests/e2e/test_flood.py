"""More at once than the embedded broker keeps: what was answered for is in the tables all the same."""

from __future__ import annotations

import base64
import json
import random
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from shared.runtime.settings import Settings
from shared.store.clickhouse import open_store
from tests.support.apart import apart
from tests.support.product import Product

EVENTS = 2000  # of about 6 KB each, which no compression makes smaller


def test_two_large_batches_at_once_are_stored_whole(tmp_path: Path) -> None:
    product = Product(tmp_path)
    product.start()
    try:
        status, made = product.request(
            "/api/auth/tokens/", {"name": "flood", "scopes": ["ingest"]}, token=product.login()
        )
        assert status == 200, made
        token = made["data"]["token"]
        now = int(time.time() * 1000)
        # The same host, so the same partition.
        batches = [_batch(now - hours * 3_600_000, seed=hours) for hours in (1, 2)]
        with ThreadPoolExecutor(len(batches)) as posting:
            answers = list(posting.map(lambda batch: _post(product.url, token, batch), batches))
        assert [answer["data"]["accepted"] for answer in answers] == [EVENTS, EVENTS]
    finally:
        assert product.stop() == 0
    assert apart(_stored, tmp_path) == [(2 * EVENTS,)]


def _batch(until: int, seed: int) -> bytes:
    noise = random.Random(seed)
    return b"\n".join(_line(until - 1000 * n, n, noise.randbytes(4200)) for n in range(EVENTS))


def _line(ts: int, number: int, noise: bytes) -> bytes:
    process = {
        "pid": 1, "name": "x", "status": "running", "cpu_percent": 0.0, "memory_percent": 0.0,
        "memory_info": {"rss": 1, "vms": 1}, "create_time": ts, "cmdline": [base64.b64encode(noise).decode()],
        "username": "x",
    }  # fmt: skip
    event = {
        "kind": "sample", "event_id": f"flood-{ts}", "ts": ts, "host_id": "flood", "host": "flood", "seq": number,
        "processes": {"count": 1, "top": [process]},
    }  # fmt: skip
    return json.dumps(event).encode()


def _post(url: str, token: str, batch: bytes) -> Any:
    request = urllib.request.Request(
        f"{url}/api/ingest/", data=batch, headers={"Authorization": f"Bearer {token}"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


async def _stored(data_dir: Path) -> list[tuple[Any, ...]]:
    store = await open_store(Settings(data_dir=data_dir), "test")
    try:
        return await store.query("SELECT count() FROM samples FINAL WHERE host_id = 'flood'")
    finally:
        await store.close()
