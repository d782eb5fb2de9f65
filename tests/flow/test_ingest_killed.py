"""Ingest is killed in the middle of its work, twice, and nothing is lost and nothing counts twice."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.bus.kafka import publisher
from shared.runtime.settings import KafkaSettings
from shared.schemas.topics import METRICS
from tests.support.broker import embedded_broker
from tests.support.samples import T0, host_sample

EVENTS = 1200


class Child:
    """An ingest process; ``seen`` is what it last said is stored."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self.seen: dict[str, Any] = {"rows": 0, "kept": 0, "minutes": []}

    async def __aenter__(self) -> Child:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.ingest_process", str(self._config)),
            cwd=Path(__file__).parents[2],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        return self

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            while not condition(self.seen):
                said = await self._process.stdout.readline()
                assert said, f"ingest died; it had stored {self.seen}"
                if said != b"up\n":
                    self.seen = json.loads(said)

    async def __aexit__(self, *_: object) -> None:
        self._process.kill()
        await self._process.wait()


async def test_killed_twice_it_stores_every_event_once(tmp_path: Path) -> None:
    with embedded_broker() as broker:
        settings = {
            "data_dir": str(tmp_path),
            "kafka": {"bootstrap_servers": broker.address},
            "ingest": {"batch_seconds": 0.2, "batch_events": 50},
        }
        config = tmp_path / "settings.json"
        # By this clock all minutes have closed, so that rollups are computed while events still come.
        config.write_text(json.dumps({"settings": settings, "now_ms": T0 + 3_600_000}))
        sending = asyncio.create_task(send_slowly(broker.address))
        for share in (0.1, 0.4):
            async with Child(config) as child:
                await child.until(lambda seen, least=share * EVENTS: seen["kept"] >= least)
        async with Child(config) as child:
            await sending
            await child.until(lambda seen: seen["kept"] >= EVENTS)
        # A new start finds what was stored and not rolled up.
        async with Child(config) as child:
            await child.until(lambda seen: sum(seen["minutes"]) >= EVENTS)
    assert child.seen["kept"] == EVENTS
    assert child.seen["minutes"] == [60] * (EVENTS // 60)


async def send_slowly(address: str) -> None:
    out = publisher(KafkaSettings(bootstrap_servers=address), "test")
    await out.start()
    for second in range(EVENTS):
        ts = T0 + second * 1000
        line = json.dumps(host_sample(ts=ts, event_id=f"e-{ts}", seq=second)).encode()
        await out.publish(METRICS, "host", line)
        await asyncio.sleep(0.005)
    await out.stop()
