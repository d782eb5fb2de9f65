"""The detector between its two topics, on the embedded broker: samples in, scores and anomalies out."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from services.detector.service import build
from services.detector.states import FileStates, States
from shared.bus.kafka import publisher, tail
from shared.runtime.clock import ManualClock
from shared.runtime.health import Health
from shared.runtime.settings import Settings
from shared.schemas.anomaly import Anomaly, HostScore
from shared.schemas.codec import BadLine, Decoder
from shared.schemas.topics import ANOMALIES, CONTROL, METRICS
from tests.support.broker import embedded_broker, settings_for
from tests.support.samples import T0, host_sample
from tests.support.waiting import eventually

QUICK: dict[str, object] = {"warmup_seconds": 30, "open_after": 5, "close_after": 10}


def samples(first: int, seconds: int, cpu: float, host: str = "host-1", start: int = T0) -> list[bytes]:
    """One sample a second of a host whose CPU is that busy, from the ``first`` second of the story on."""
    return [
        json.dumps(
            host_sample(
                host_id=host,
                host=f"name of {host}",
                event_id=f"{host}-{first + n}",
                ts=start + (first + n) * 1000,
                cpu={"percent": min(100.0, cpu + n % 3)},
            )
        ).encode()
        for n in range(seconds)
    ]


@asynccontextmanager
async def detecting(
    settings: Settings, now_ms: int = T0 + 3_600_000, health: Health | None = None, states: States | None = None
) -> AsyncIterator[Any]:
    service = build(settings, clock=ManualClock(now_ms), health=health, states=states, session_timeout=1.5)
    try:
        await service.start()
        yield service
    finally:
        await service.stop()


@asynccontextmanager
async def said(settings: Settings) -> AsyncIterator[list[Any]]:
    """Everything on the anomalies topic, decoded by the wire's own models."""
    out: list[Any] = []
    reader = tail(settings.kafka, [ANOMALIES], "test")
    decoder = Decoder(HostScore, Anomaly)

    async def read() -> None:
        async for batch in reader.messages():
            for message in batch:
                for event in decoder.lines(message.value or b""):
                    assert not isinstance(event, BadLine), event
                    assert (message.key or b"").decode() == event.host_id
                    out.append(event)

    await reader.start()
    task = asyncio.create_task(read())
    try:
        yield out
    finally:
        await reader.stop()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def publish(settings: Settings, values: Iterable[bytes], key: str = "host-1") -> None:
    out = publisher(settings.kafka, "agent")
    await out.start()
    await asyncio.gather(*(out.publish(METRICS, key, value) for value in values))
    await out.stop()


def scores(events: Iterable[Any]) -> list[Any]:
    return [e for e in events if type(e).__name__ == "HostScore"]


def anomalies(events: Iterable[Any], state: str | None = None) -> list[Any]:
    return [e for e in events if type(e).__name__ == "Anomaly" and state in (None, e.state)]


async def test_a_busy_minute_is_opened_and_closed_and_every_sample_scored(tmp_path: Path) -> None:
    with embedded_broker() as broker:
        settings = settings_for(broker.address, tmp_path, detector=QUICK)
        async with detecting(settings), said(settings) as events:
            await publish(settings, samples(0, 60, cpu=4))
            await publish(settings, samples(60, 20, cpu=99))
            await publish(settings, samples(80, 30, cpu=4))
            await eventually(lambda: anomalies(events, "close"))
            await eventually(lambda: len(scores(events)) == 110)

    (opened,), (closed,) = anomalies(events, "open"), anomalies(events, "close")
    assert opened.anomaly_id == closed.anomaly_id
    assert opened.started_at == T0 + 60_000
    assert opened.ts == T0 + 65_000  # it lasted open_after
    assert (opened.host_id, opened.host, opened.labels) == ("host-1", "name of host-1", {"role": "web", "rack": "b4"})
    assert opened.contributions[0].metric == "cpu.percent"
    assert opened.contributions[0].expected_low <= 5 <= opened.contributions[0].expected_high < 60
    assert opened.finding == "cpu_overload"
    assert "name of host-1" in opened.summary and "cpu.percent" in opened.summary
    assert opened.top_processes
    assert closed.ended_at == T0 + 80_000
    assert closed.evidence["ended"] == "recovered"
    by_id = {s.event_id: s for s in scores(events)}
    assert by_id["host-1-10"].warming_up and not by_id["host-1-50"].warming_up
    assert by_id["host-1-50"].score < 1 < by_id["host-1-70"].score
    assert by_id["host-1-70"].metrics["cpu.percent"] > 1


async def test_bad_lines_future_events_and_repeats_are_passed_over(tmp_path: Path) -> None:
    with embedded_broker() as broker:
        settings = settings_for(broker.address, tmp_path, detector=QUICK)
        async with detecting(settings) as service, said(settings) as events:
            good = samples(0, 10, cpu=4)
            await publish(settings, [b"not json", b'{"kind":"sample"}\n' + good[0], b"\n".join(good[1:5]), good[2]])
            await publish(settings, samples(0, 1, cpu=4, start=T0 + 400 * 86_400_000))
            await publish(settings, good[5:])
            await eventually(lambda: len(scores(events)) == 10)
            counters = service.processor.counters
            assert (counters.bad, counters.late, counters.future, counters.failed) == (2, 1, 1, 0)
    assert [s.event_id for s in scores(events)] == [f"host-1-{n}" for n in range(10)]


async def test_several_events_of_a_host_travel_in_one_message(tmp_path: Path) -> None:
    with embedded_broker() as broker:
        settings = settings_for(broker.address, tmp_path, detector=QUICK)
        await publish(settings, [b"\n".join(samples(0, 50, cpu=4))])
        async with detecting(settings), said(settings) as events:
            await eventually(lambda: len(scores(events)) == 50)
        reader = tail(settings.kafka, [ANOMALIES], "count")
        await reader.start()
        assert reader.lag() == 1
        await reader.stop()


async def test_a_detector_that_was_killed_closes_what_it_had_opened(tmp_path: Path) -> None:
    with embedded_broker() as broker:
        settings = settings_for(broker.address, tmp_path, detector=QUICK)
        kept = FileStates(tmp_path / "states")
        async with said(settings) as events, detecting(settings, states=kept):
            await publish(settings, samples(0, 60, cpu=4))
            await publish(settings, samples(60, 20, cpu=99))
            await eventually(lambda: anomalies(events, "open"))
            await eventually(lambda: list(kept.directory.rglob("*.state")))
        await asyncio.to_thread(shutil.copytree, kept.directory, tmp_path / "kept")

    # All that is left is the disk: another process, and a broker that has forgotten everything.
    with embedded_broker() as broker:
        settings = settings_for(broker.address, tmp_path, detector=QUICK)
        async with detecting(settings, states=FileStates(tmp_path / "kept")), said(settings) as later:
            await publish(settings, samples(80, 60, cpu=4))
            await eventually(lambda: anomalies(later, "close"))
    (opened,), (closed,) = anomalies(events, "open"), anomalies(later)
    assert closed.anomaly_id == opened.anomaly_id
    assert closed.started_at == opened.started_at
    assert closed.evidence["ended"] == "recovered"
    assert not any(s.warming_up for s in scores(later)), "what was known is still known"


async def test_a_restart_during_a_fault_raises_no_second_alarm(tmp_path: Path) -> None:
    with embedded_broker() as broker:
        settings = settings_for(broker.address, tmp_path, detector=QUICK)
        async with said(settings) as events:
            async with detecting(settings):
                await publish(settings, samples(0, 60, cpu=4))
                await publish(settings, samples(60, 20, cpu=99))
                await eventually(lambda: anomalies(events, "open"))
            await publish(settings, samples(80, 60, cpu=98))
            async with detecting(settings):
                await eventually(lambda: any(s.event_id == "host-1-139" for s in scores(events)))
    assert len(anomalies(events, "open")) == 1


async def test_a_state_that_cannot_be_read_is_no_reason_not_to_start(tmp_path: Path) -> None:
    for partition in ("0", "1"):
        (tmp_path / "states" / partition).mkdir(parents=True)
        (tmp_path / "states" / partition / "a.state").write_bytes(b"\x80\x04what is this")
        (tmp_path / "states" / partition / "b.state").mkdir()
    with embedded_broker() as broker:
        settings = settings_for(broker.address, tmp_path, detector=QUICK)
        async with detecting(settings, states=FileStates(tmp_path / "states")), said(settings) as events:
            await publish(settings, samples(0, 3, cpu=4))
            await eventually(lambda: len(scores(events)) == 3)


async def test_its_health_says_when_nothing_can_be_published(tmp_path: Path) -> None:
    with embedded_broker() as broker:
        settings, health = settings_for(broker.address, tmp_path, detector=QUICK), Health()
        async with detecting(settings, health=health):
            assert Health.failures(health.progress) == {}


async def test_what_was_called_normal_stays_quiet_until_that_is_taken_back(tmp_path: Path) -> None:
    opinion = {
        "kind": "feedback",
        "event_id": "f1",
        "ts": T0,
        "id": "some-anomaly",
        "host_id": "host-1",
        "verdict": "normal",
        "author": "ada",
        "metrics": [{"metric": "cpu.percent", "low": 0, "high": 100}],
    }
    with embedded_broker() as broker:
        settings = settings_for(broker.address, tmp_path, detector=QUICK)
        out = publisher(settings.kafka, "api")
        await out.start()
        await out.publish(CONTROL, "feedback:some-anomaly", json.dumps(opinion).encode())
        async with detecting(settings) as detector, said(settings) as events:
            await eventually(lambda: detector.opinions)
            await publish(settings, samples(0, 60, cpu=4))
            await publish(settings, samples(60, 20, cpu=99))
            await publish(settings, samples(80, 30, cpu=4))
            await eventually(lambda: len(scores(events)) == 110)
            assert not anomalies(events)
            await out.publish(CONTROL, "feedback:some-anomaly", None)
            await eventually(lambda: not detector.opinions)
            await publish(settings, samples(110, 20, cpu=99))
            await publish(settings, samples(130, 30, cpu=4))
            await eventually(lambda: anomalies(events, "close"))
            await out.stop()
