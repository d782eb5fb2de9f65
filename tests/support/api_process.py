"""The API as a process of its own, for tests that kill it: ``python -m tests.support.api_process SETTINGS.json``.

Prints its URL when it answers.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from services.api.service import build
from shared.runtime.settings import Settings
from shared.store.clickhouse import open_store
from shared.store.migrate import migrate


async def main(path: str) -> None:
    settings = Settings.model_validate_json(Path(path).read_text())
    store = await open_store(settings, "test")
    await migrate(settings, store)
    api = build(settings)
    await api.start()
    print(api.url, flush=True)
    await api.watch()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
