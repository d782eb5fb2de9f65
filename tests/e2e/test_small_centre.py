"""Agents elsewhere post to `lapwing up` as it comes, which collects for seconds before it stores and answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from shared.runtime.settings import Settings
from shared.store.clickhouse import open_store
from tests.support.apart import apart
from tests.support.product import PATIENCE, Product

HOST = "a-host-elsewhere"
EVENTS = 12  # one a second: more than two batches of the store


def test_what_is_posted_in_time_is_neither_late_nor_by_way_of_the_spool(tmp_path: Path) -> None:
    product = Product(tmp_path / "centre")
    product.start()
    log = tmp_path / "agent.log"
    try:
        body = {"name": "elsewhere", "scopes": ["ingest"], "host": HOST}
        status, made = product.request("/api/auth/tokens/", body, token=product.login())
        assert status == 200, made
        agent = _agent(product.url, made["data"]["token"], tmp_path, log)
        try:
            path = f"/api/system/history/?host={HOST}&metric=cpu.percent&from=now-5m&step=1s"
            product.until("/api/system/hosts/", lambda hosts: any(host["id"] == HOST for host in hosts))
            product.until(path, lambda found: sum(len(s["points"]) for s in found["series"]) >= EVENTS)
        finally:
            agent.terminate()
            agent.wait(PATIENCE)
    finally:
        assert product.stop() == 0
    stored, backfilled = apart(_stored, tmp_path / "centre")
    assert stored >= EVENTS and backfilled == 0, log.read_text()
    assert "spool" not in log.read_text()


def _agent(url: str, token: str, tmp_path: Path, log: Path) -> subprocess.Popen[bytes]:
    settings = {
        "LAPWING_DATA_DIR": str(tmp_path / "agent"),
        "LAPWING_AGENT__URL": url,
        "LAPWING_AGENT__TOKEN": token,
        "LAPWING_AGENT__HOST_ID": HOST,
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LAPWING_")}
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "services", "agent"], env=kept | settings, stdout=out, stderr=out
        )


async def _stored(data_dir: Path) -> tuple[int, int]:
    store = await open_store(Settings(data_dir=data_dir), "test")
    try:
        [(stored,)] = await store.query("SELECT count() FROM samples FINAL WHERE host_id = {h:String}", {"h": HOST})
        [(marked,)] = await store.query("SELECT count() FROM arrivals WHERE host_id = {h:String}", {"h": HOST})
        return stored, marked
    finally:
        await store.close()
