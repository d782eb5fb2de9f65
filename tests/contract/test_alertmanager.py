"""What fires here fires in a real Alertmanager too: Debian's, asked by its API and by amtool."""

from __future__ import annotations

import asyncio
import json
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.alerter.delivery import mirror as mirror_module
from services.alerter.delivery.mirror import Mirror
from services.alerter.delivery.webhook_body import rfc3339
from shared.runtime.clock import SystemClock
from shared.schemas.alert import Alert
from tests.support.alertmanager import AMTOOL, alertmanager_at_hand, running_alertmanager
from tests.support.waiting import eventually
from tests.unit.alerter.support import alert

__all__ = ["alertmanager_at_hand"]


@dataclass(frozen=True)
class There:
    url: str
    amtool: Path

    def alerts(self) -> list[dict[str, Any]]:
        """What it holds to be firing."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=60) as answer:
            return list(json.load(answer))

    def instances(self) -> list[str]:
        return sorted(a["labels"]["instance"] for a in self.alerts())

    def tool(self, *words: str) -> str:
        """What amtool says."""
        command = [str(self.amtool), f"--alertmanager.url={self.url}", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@contextmanager
def alertmanager(programs: Path, directory: Path, port: int | None = None) -> Iterator[There]:
    with running_alertmanager(programs, directory, port=port) as url:
        yield There(url, programs / AMTOOL)


def now() -> int:
    return SystemClock().now_ms()


def fires(alert_id: str, *, state: str = "firing", **more: Any) -> Alert:
    at = now() - 60_000
    more.setdefault("labels", {})
    more["labels"] = {"instance": alert_id, **more["labels"]}
    return alert(alert_id, state=state, started_at=at, ts=at + 30_000, **more)


@asynccontextmanager
async def running(url: str, **more: Any) -> AsyncIterator[Mirror]:
    mirror = Mirror(url, "https://x.example", SystemClock(), **more)
    task = asyncio.create_task(mirror.run())
    try:
        yield mirror
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await mirror.close()


async def test_what_fires_and_ends_here_fires_and_ends_there(alertmanager_at_hand: Path, tmp_path: Path) -> None:
    with alertmanager(alertmanager_at_hand, tmp_path) as it:
        async with running(it.url) as mirror:
            mirror.show([fires("a", severity="critical"), fires("b")])
            there = await eventually(lambda: len(it.alerts()) == 2 and it.alerts())
            assert isinstance(there, list)
            one = next(a for a in there if a["labels"]["instance"] == "a")
            assert one["labels"]["alertname"] == "cpu_busy"
            assert one["annotations"]["summary"] == "cpu_busy on web1"
            assert one["generatorURL"] == "https://x.example/?host=h1&alert=a"
            assert one["startsAt"][:16] == rfc3339(mirror._firing["a"].started_at)[:16]
            assert "cpu_busy" in it.tool("alert", "query", "severity=critical")
            mirror.show([fires("a", state="resolved", severity="critical")])
            await eventually(lambda: it.instances() == ["b"])


async def test_names_it_would_refuse_do_not_cost_the_others(alertmanager_at_hand: Path, tmp_path: Path) -> None:
    with alertmanager(alertmanager_at_hand, tmp_path) as it:
        async with running(it.url) as mirror:
            odd = {"app.kubernetes.io/name": "shop", "9lives": "cat", "empty": "", "naïve": "é\n\x00"}
            mirror.show([fires("a", labels=odd), fires("b")])
            await eventually(lambda: len(it.alerts()) == 2)
            labels = next(a["labels"] for a in it.alerts() if a["labels"]["instance"] == "a")
            assert labels["app_kubernetes_io_name"] == "shop"
            assert labels["_9lives"] == "cat"
            assert "empty" not in labels
            assert mirror.failing is None


async def test_one_that_was_away_is_told_all_that_fires(alertmanager_at_hand: Path, tmp_path: Path) -> None:
    with alertmanager(alertmanager_at_hand, tmp_path) as gone:
        port = int(gone.url.rpartition(":")[2])
    async with running(gone.url) as mirror:
        mirror.show([fires("a"), fires("b")])
        await eventually(lambda: mirror.failing)
        mirror.show([fires("b", state="resolved")])
        with alertmanager(alertmanager_at_hand, tmp_path, port) as it:
            await eventually(lambda: it.instances() == ["a"])
            await eventually(lambda: mirror.failing is None)  # its answer comes after it has the alert


async def test_it_is_told_again_and_again_or_it_forgets(
    alertmanager_at_hand: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_module, "AHEAD_MS", 3000)
    with alertmanager(alertmanager_at_hand, tmp_path) as it:
        async with running(it.url, every_s=0.5) as mirror:
            mirror.show([fires("a")])
            first = await eventually(it.alerts)
            await eventually(lambda: [a for a in it.alerts() if a["endsAt"] > first[0]["endsAt"]])
        await eventually(lambda: not it.alerts())  # nobody says so any more


async def test_very_many_are_told_in_several_posts(alertmanager_at_hand: Path, tmp_path: Path) -> None:
    with alertmanager(alertmanager_at_hand, tmp_path) as it:
        async with running(it.url) as mirror:
            mirror.show([fires(f"a{i}") for i in range(1200)])
            await eventually(lambda: len(it.alerts()) == 1200)


async def test_who_may_not_tell_tells_nothing_until_it_may(alertmanager_at_hand: Path, tmp_path: Path) -> None:
    may = False
    with alertmanager(alertmanager_at_hand, tmp_path) as it:
        async with running(it.url, may_tell=lambda: may) as mirror:
            mirror.show([fires("a"), fires("b"), fires("b", state="resolved")])
            assert mirror._changed == {}
            may = True
            await eventually(lambda: it.instances() == ["a"])  # at once: not at the next minute


async def test_more_than_it_can_hold_are_refused_aloud(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mirror_module, "MOST_ALERTS", 3)
    mirror = Mirror("http://127.0.0.1:1", "https://x.example", SystemClock())
    mirror.show([fires(f"a{i}") for i in range(5)])
    mirror.show([fires("a0"), fires("a1", state="resolved"), fires("a4", state="resolved")])
    assert sorted(mirror._firing) == ["a0", "a2"]
    assert mirror.refused == 2
    assert caplog.text.count("too many alerts fire") == 1
    await mirror.close()
