"""Ingest as a process of its own, for tests that kill it: ``python -m tests.support.ingest_process SETTINGS.json``.

Prints ``up`` when it consumes and then, again and again, what is stored as a JSON line.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from services.ingest.service import build
from shared.runtime.clock import ManualClock
from shared.runtime.settings import Settings
from shared.store.clickhouse import open_store
from shared.store.migrate import migrate

STORED = "SELECT (SELECT count() FROM samples), (SELECT count() FROM samples FINAL)"
ROLLED_UP = "SELECT ts, count FROM rollup_1m FINAL WHERE metric = 'cpu.percent' ORDER BY ts"


async def main(path: str) -> None:
    given = json.loads(Path(path).read_text())
    settings = Settings.model_validate(given["settings"])
    store = await open_store(settings, "test")
    await migrate(settings, store)
    service = build(settings, clock=ManualClock(given["now_ms"]), session_timeout=1.5)
    await service.start()
    print("up", flush=True)
    while True:
        ((rows, kept),) = await store.query(STORED)
        minutes = [count for _, count in await store.query(ROLLED_UP)]
        print(json.dumps({"rows": rows, "kept": kept, "minutes": minutes}), flush=True)
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
