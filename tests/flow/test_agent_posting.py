"""An agent behind HTTP: a real agent process posts over TLS to a real API that is killed again and again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.ingest.service import build as build_ingest
from shared.broker.embedded import EmbeddedBroker
from shared.runtime.settings import Settings
from shared.store.clickhouse import open_store
from shared.store.port import Store
from tests.support.broker import embedded_broker, settings_for
from tests.support.ports import free_port
from tests.support.store import fresh_store
from tests.support.tls import authority, tls_front
from tests.support.waiting import eventually

__all__ = ["fresh_store"]

ROOT = Path(__file__).parents[2]
HOST = "an-agent-behind-http"
PASSWORD = "correct horse battery staple"
MOST_RSS = 45 << 20


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with embedded_broker() as it:
        yield it


@pytest.fixture
async def stored(broker: EmbeddedBroker, fresh_store: Settings) -> AsyncIterator[Store]:
    """What ingest, which runs in this process, has put into the tables."""
    settings = settings_for(
        broker.address,
        fresh_store.data_dir / "ingest",
        clickhouse={"dsn": fresh_store.clickhouse.dsn},
        ingest={"batch_seconds": 0.2},
    )
    store = await open_store(settings, "test")
    ingest = build_ingest(settings, session_timeout=1.5)
    await ingest.start()
    watching = asyncio.create_task(ingest.watch())
    yield store
    await ingest.stop()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await store.close()


class Api:
    """On the same port each time it is started, with a store of its own for its accounts."""

    def __init__(self, broker: EmbeddedBroker, data_dir: Path) -> None:
        data_dir.mkdir()
        self.port = free_port()
        self._settings = data_dir / "settings.json"
        self.data_dir = data_dir
        self._settings.write_text(
            json.dumps(
                {
                    "data_dir": str(data_dir),
                    "admin_password": PASSWORD,
                    "kafka": {"bootstrap_servers": broker.address},
                    "api": {"port": self.port},
                }
            )
        )
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.api_process", str(self._settings)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            assert await self._process.stdout.readline(), "the API died"

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


async def lapwing(*words: str, log: Path, **settings: str) -> asyncio.subprocess.Process:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LAPWING_")}
    with log.open("ab") as out:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services", *words), cwd=ROOT, env=kept | settings, stdout=out, stderr=out
        )


@asynccontextmanager
async def agent(tmp_path: Path, *words: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await lapwing(
        "agent",
        *words,
        log=tmp_path / "agent.log",
        LAPWING_DATA_DIR=str(tmp_path / "agent"),
        LAPWING_AGENT__INTERVAL="0.2",
        LAPWING_AGENT__HOST_ID=HOST,
        **settings,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def numbers(store: Store) -> list[int]:
    rows = await store.query(f"SELECT seq FROM samples FINAL WHERE host_id = '{HOST}' ORDER BY seq")
    return [row[0] for row in rows]


async def token(api: Api, tmp_path: Path, *words: str) -> Path:
    file = tmp_path / "token"
    file.unlink(missing_ok=True)
    created = await lapwing(
        *("token", "create", "agent", "--scope", "ingest", *words), log=file, LAPWING_DATA_DIR=str(api.data_dir)
    )
    assert await created.wait() == 0, file.read_text()
    file.write_text(next(line for line in file.read_text().splitlines() if line.startswith("lw_")) + "\n")
    return file


async def test_every_event_arrives_once_though_the_api_is_killed(
    broker: EmbeddedBroker, stored: Store, tmp_path: Path
) -> None:
    ours = authority(tmp_path / "tls")
    api = Api(broker, tmp_path / "api")
    await api.start()
    try:
        file = await token(api, tmp_path, "--host", HOST)
        log = tmp_path / "agent.log"
        async with tls_front(ours.server(), api.port) as port:
            words = ("--url", f"https://localhost:{port}", "--token-file", str(file))
            async with agent(tmp_path, *words, LAPWING_AGENT__URL_CAFILE=str(ours.certificate)) as process:

                async def more_than(count: int) -> bool:
                    return len(await numbers(stored)) > count

                await eventually(lambda: more_than(10), every=0.2)
                for kill in (1, 2):
                    await api.kill()
                    await eventually(lambda n=kill: log.read_text().count("they go to the spool") >= n)  # type: ignore[misc]
                    kept = len(await numbers(stored))
                    await eventually(lambda: spooled(tmp_path) > 20_000, that="the spool grows")
                    await api.start()
                    await eventually(
                        lambda n=kill: log.read_text().count("the spool is empty again") >= n,  # type: ignore[misc]
                    )
                    await eventually(lambda n=kept: more_than(n + 5), every=0.2)  # type: ignore[misc]
                assert psutil.Process(process.pid).memory_info().rss < MOST_RSS
                process.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(process.wait(), 60) == 0

        async def at_rest() -> list[int]:
            before = await numbers(stored)
            await asyncio.sleep(1.0)
            after = await numbers(stored)
            return after if before == after else []

        found = await eventually(at_rest)
        assert found == list(range(found[0], found[0] + len(found))), "without a gap, and none twice"
        assert log.read_text().count("the broker takes events again") >= 2
        rejected: Any = [line for line in log.read_text().splitlines() if "rejected" in line]
        assert rejected == []
    finally:
        await api.kill()


async def test_events_refused_for_their_token_wait_until_there_is_a_good_one(
    broker: EmbeddedBroker, stored: Store, tmp_path: Path
) -> None:
    api = Api(broker, tmp_path / "api")
    await api.start()
    try:
        log = tmp_path / "agent.log"
        file = await token(api, tmp_path, "--host", "another-host")
        words = ("--url", f"http://127.0.0.1:{api.port}", "--token-file", str(file))
        async with agent(tmp_path, *words) as process:
            await eventually(lambda: log.exists() and "refuses the agent token lw_" in log.read_text())
            await eventually(lambda: spooled(tmp_path) > 20_000, that="the spool grows")
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 60) == 0
        assert file.read_text().strip() not in log.read_text(), "the secret stays secret"
        assert await numbers(stored) == []
        kept = spooled_numbers(tmp_path)
        assert len(kept) > 2
        await token(api, tmp_path)
        async with agent(tmp_path, *words) as process:
            await eventually(lambda: "the spool is empty again" in log.read_text())
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 60) == 0
        assert not kept & spooled_numbers(tmp_path), "what was taken has left the disk"

        async def all_there() -> bool:
            return kept <= set(await numbers(stored))

        await eventually(all_there, every=0.3)
    finally:
        await api.kill()


def spooled_numbers(tmp_path: Path) -> set[int]:
    segments = sorted((tmp_path / "agent" / "agent" / "spool").glob("*.jsonl"))
    return {json.loads(line)["seq"] for segment in segments for line in segment.read_bytes().splitlines()}


def spooled(tmp_path: Path) -> int:
    return sum(f.stat().st_size for f in (tmp_path / "agent" / "agent" / "spool").glob("*") if f.is_file())
