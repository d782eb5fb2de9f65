"""The agent as a process of its own, on a broker that comes and goes; and killed in the middle of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from shared.broker.embedded import EmbeddedBroker
from shared.bus.kafka import tail
from shared.schemas.codec import Decoder
from shared.schemas.sample import HostSample
from shared.schemas.topics import METRICS
from tests.support.broker import embedded_broker, settings_for
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
SECTIONS = ("agent", "system", "cpu", "load", "memory", "swap", "disks", "disk_io", "network", "processes", "gpus")


class Agent:
    """``lapwing agent`` as a person starts it."""

    def __init__(self, broker: str, data_dir: Path, **settings: str) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LAPWING_")}
        self._env = kept | {
            "LAPWING_DATA_DIR": str(data_dir),
            "LAPWING_KAFKA__BOOTSTRAP_SERVERS": broker,
            "LAPWING_AGENT__INTERVAL": "0.2",
            "LAPWING_LOG__FORMAT": "json",
            **settings,
        }
        self._log = data_dir / "agent.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> int:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services", "agent"], cwd=ROOT, env=self._env, stdout=log, stderr=log
            )
        return self.process.pid

    def signal(self, number: int, within: float = 60) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(within)

    @property
    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""


@dataclass
class Seen:
    lines: list[dict[str, Any]] = field(default_factory=list)
    spooled: set[str] = field(default_factory=set)
    packed: int = 0
    """Events in the fullest message."""

    def ids(self) -> set[str]:
        return {line["event_id"] for line in self.lines}


@asynccontextmanager
async def watching(address: str, tmp_path: Path) -> AsyncIterator[Seen]:
    seen, decoder = Seen(), Decoder(HostSample)
    reader = tail(settings_for(address, tmp_path).kafka, [METRICS], "test")

    async def read() -> None:
        async for batch in reader.messages():
            for message in batch:
                lines = (message.value or b"").split(b"\n")
                seen.packed = max(seen.packed, len(lines))
                for line in lines:
                    decoder.line(line)
                    event = json.loads(line)
                    assert message.key == event["host_id"].encode()
                    seen.lines.append(event)
                    if message.headers.get("lapwing-spooled") == b"1":
                        seen.spooled.add(event["event_id"])

    await reader.start()
    task = asyncio.create_task(read())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await reader.stop()


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with embedded_broker() as broker:
        yield broker


@pytest.fixture
def agent(broker: EmbeddedBroker, tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(broker.address, tmp_path)
    yield agent
    if agent.process is not None and agent.process.poll() is None:
        agent.process.kill()
        agent.process.wait()


def on_disk(tmp_path: Path) -> set[str]:
    """The whole events in the spool."""
    found = set()
    for segment in sorted((tmp_path / "agent" / "spool").glob("*.jsonl")):
        content = segment.read_bytes()
        found |= {json.loads(line)["event_id"] for line in content[: content.rfind(b"\n") + 1].splitlines()}
    return found


async def test_the_first_event_is_whole_and_the_agent_listens_nowhere(
    broker: EmbeddedBroker, agent: Agent, tmp_path: Path
) -> None:
    async with watching(broker.address, tmp_path) as seen:
        pid = agent.start()
        await eventually(lambda: len(seen.lines) >= 8)
        assert [name for name in SECTIONS if name not in seen.lines[0]] == []
        assert seen.lines[0]["cpu"]["modes"]["idle"] < 100 or seen.lines[0]["cpu"]["percent"] == 0
        sockets = psutil.Process(pid).net_connections(kind="all")
        assert any(s.status == psutil.CONN_ESTABLISHED for s in sockets), "it does speak to the broker"
        assert [s for s in sockets if s.status == psutil.CONN_LISTEN] == []
        assert [s.laddr for s in psutil.Process(pid).net_connections(kind="udp")] == []
        assert psutil.Process(pid).children() == []

        assert agent.signal(signal.SIGTERM) == 0
        agent.start()
        count = len(seen.lines)
        # The first one's last events may come as late as this; only its own say that the second is up.
        await eventually(lambda: len({e["agent"]["started_at"] for e in seen.lines if "agent" in e}) == 2)
        await eventually(lambda: len(seen.lines) >= count + 5)
        assert agent.signal(signal.SIGINT) == 0
    seqs = [e["seq"] for e in seen.lines]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), "a clean stop leaves no gap"


async def test_an_outage_with_a_kill_in_it_loses_nothing_that_was_on_disk(
    broker: EmbeddedBroker, agent: Agent, tmp_path: Path
) -> None:
    async with watching(broker.address, tmp_path) as seen:
        agent.start()
        await eventually(lambda: len(seen.lines) >= 5)

        broker.interrupt()
        await eventually(lambda: len(on_disk(tmp_path)) >= 10)
        agent.signal(signal.SIGKILL)
        kept = on_disk(tmp_path)
        last = max(int(event_id.rsplit("-", 1)[1]) for event_id in kept)

        agent.start()  # it starts without a broker, too
        await eventually(lambda: len(on_disk(tmp_path)) >= len(kept) + 5)
        kept |= on_disk(tmp_path)
        broker.resume()
        await eventually(lambda: kept <= seen.ids())
        await eventually(lambda: not on_disk(tmp_path))
        assert kept <= seen.spooled | seen.ids()
        assert seen.packed > 1, "several events a message"
        assert min(e["seq"] for e in seen.lines[-1:]) > last, "numbers go on growing after a kill"
        assert agent.signal(signal.SIGTERM) == 0

    spooled = [e["ts"] for e in seen.lines if e["event_id"] in kept]
    first_time = list(dict.fromkeys(spooled))
    assert first_time == sorted(first_time), "in order"
    words = [json.loads(line)["message"] for line in agent.log.splitlines() if line.startswith("{")]
    assert words.count("the broker does not take events, they go to the spool") == 2, "once a run"
    assert "the broker takes events again" in words
