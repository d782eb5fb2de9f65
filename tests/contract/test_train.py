"""Models of history in a real store, and what the running product makes of them."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from services.detector.features import features
from services.history.span import Span
from services.history.stored import hosts_meant
from services.train import from_history, frozen, overload
from services.train.session import Session
from shared.models import registry
from shared.models.channels import Channels
from shared.models.overload import LOOK_EVERY
from shared.runtime.clock import ManualClock
from shared.runtime.settings import Settings, SettingsError
from shared.schemas.codec import Decoder
from shared.schemas.sample import HostSample
from shared.store.clickhouse import open_store
from shared.store.port import Store
from tests.support.api import Api, running_api
from tests.support.models import card, forest_arrays, svm_arrays
from tests.support.samples import T0, host_sample
from tests.support.store import fresh_store

__all__ = ["fresh_store"]

MINUTE, HOUR = 60_000, 3_600_000
ALL = Span(T0, T0 + 8 * HOUR, [])


@pytest.fixture
async def store(fresh_store: Settings) -> AsyncIterator[Store]:
    store = await open_store(fresh_store, "writer")
    yield store
    await store.close()


@pytest.fixture
def session(fresh_store: Settings) -> Session:
    return Session(fresh_store, registry.models_dir(fresh_store.data_dir), ManualClock())


def sample(minute: int, cpu: float, rng: random.Random) -> dict[str, Any]:
    memory, load = rng.gauss(40, 0.5), max(0.0, cpu / 25 + rng.gauss(0, 0.1))
    return host_sample(
        ts=T0 + minute * MINUTE,
        seq=minute,
        event_id=f"h1-{minute}",
        host_id="h1",
        host="web-1",
        cpu={"percent": min(100.0, max(0.0, cpu + rng.gauss(0, 2)))},
        memory={"percent": memory},
        load={"load1": load},
        disks=None if minute % 5 else host_sample()["disks"],
        temperatures=None,
    )


async def put(store: Store, table: str, rows: list[dict[str, Any]]) -> None:
    await store.insert_lines(table, "\n".join(json.dumps(row) for row in rows).encode())


async def eight_hours(store: Store, busy: set[int]) -> None:
    """A reading a minute; in the first twenty minutes of busy hours the CPU is."""
    rng = random.Random(0)
    await put(
        store, "landing_metrics", [sample(m, 95 if m // 60 in busy and m % 60 < 20 else 20, rng) for m in range(8 * 60)]
    )


async def told(store: Store, anomaly: str, hour: int, finding: str = "cpu_overload") -> None:
    began = T0 + hour * HOUR
    event = {
        "kind": "anomaly",
        "event_id": anomaly,
        "ts": began,
        "anomaly_id": anomaly,
        "host_id": "h1",
        "host": "web-1",
        "state": "close",
        "finding": finding,
        "severity": "warning",
        "score": 1.5,
        "peak_score": 1.5,
        "started_at": began,
        "ended_at": began + 20 * MINUTE - 1,
    }
    await put(store, "landing_anomalies", [event])


async def said(store: Store, anomaly: str, verdict: str) -> None:
    event = {
        "kind": "feedback",
        "event_id": "f",
        "ts": T0,
        "id": anomaly,
        "host_id": "h1",
        "verdict": verdict,
        "author": "ada",
        "metrics": [{"metric": "cpu.percent", "low": 90, "high": 100}],
    }
    await store.insert_rows("decisions", ["key", "value", "version"], [(f"feedback:{anomaly}", json.dumps(event), 1)])


async def test_history_is_labelled_by_what_was_told_and_what_people_said(store: Store) -> None:
    await eight_hours(store, {1, 3, 5})
    await told(store, "a", 1)
    await told(store, "b", 3, "unusual")
    await said(store, "b", "real")
    await told(store, "c", 6)
    await said(store, "c", "normal")
    await told(store, "d", 5, "unusual")
    data = await from_history.labelled(store, ALL)
    assert data.features == ("cpu.percent",) and data.rows.shape == (8 * 60, 1)
    assert data.group is not None
    assert {hour: int(data.overload[data.group == hour].sum()) for hour in range(8)} == {
        **dict.fromkeys(range(8), 0),
        1: 20,
        3: 20,
    }
    assert data.rows[data.overload].min() > 80
    with pytest.raises(SettingsError, match="nobody called 'web-9'"):
        await from_history.labelled(store, Span(T0, T0 + HOUR, ["web-9"]))


async def test_history_becomes_a_model_that_answers(
    store: Store,
    session: Session,
    fresh_store: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(overload.PARAMETERS, "forest", {"n_estimators": 5.0, "max_depth": 4.0, "min_samples_leaf": 3.0})  # type: ignore[arg-type]
    await eight_hours(store, {1, 3, 5})
    for hour in (1, 3, 5):
        await told(store, f"a{hour}", hour)
    await session.overload_from_history(ALL, use=True, keep=5)
    assert "480 rows of cpu.percent, 60 of them overload" in capsys.readouterr().out
    made, _ = registry.load(registry.models_dir(fresh_store.data_dir), "overload", "svm", 1)
    assert made.span == (T0, T0 + 8 * HOUR) and made.scores["f1"] > 0.95 and made.about["hosts"] == "web-1"
    async with running_api(fresh_store) as api:
        for method in ("svm", "forest"):
            body = {"data": [20, 55, 70, 95], "method": method}
            answer = await api.ask("/api/system/detect_overload/", method="POST", body=body)
            assert answer.json()["data"]["overload"][0::3] == [0, 1]
            assert answer.headers["Lapwing-Model"] == f"{method}/1"


async def test_a_quiet_stretch_becomes_a_channel_of_the_host(
    store: Store,
    session: Session,
    fresh_store: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(frozen, "ASKED", 200)
    await eight_hours(store, {0, 1})
    await told(store, "a", 1)
    assert await session.frozen(ALL, auto=True, use=True, keep=5) == 0
    out = capsys.readouterr().out
    assert "web-1: quiet: 2027-01-15T09:20:00Z to 2027-01-15T16:00:00Z, 6.7 h" in out
    assert "frozen h1 (web-1), version 1: in use" in out
    made, _ = registry.load(registry.models_dir(fresh_store.data_dir), "frozen", "h1", 1)
    assert made.rows > 200 and "cpu.percent" in made.features
    assert not any(name.startswith(("disk.", "temperature.")) for name in made.features)

    rng = random.Random(1)
    channels = Channels(registry.models_dir(fresh_store.data_dir), ManualClock())
    live = [
        channels.score(
            "h1", T0 + m * 60_000, features(Decoder(HostSample).line(json.dumps(sample(m, cpu, rng)).encode()))
        )
        for m, cpu in [*((m, 20.0) for m in range(60)), (60, 95.0)]
    ]
    quiet = [score for score in live[:-1] if score is not None]
    assert len(quiet) == 60 and sum(score > 1 for score in quiet) <= 3
    assert live[-1] is not None and live[-1] > 1.3 * max(quiet)
    assert channels.score("h1", T0 + 61 * 60_000, {"memory.percent": 99.0}) is not None, (
        "what is not in this event was in the last"
    )
    assert channels.score("h2", T0, features(Decoder(HostSample).line(json.dumps(host_sample()).encode()))) is None


async def test_a_host_with_too_little_history_costs_only_itself(
    store: Store, session: Session, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(frozen, "ASKED", 200)
    await eight_hours(store, set())
    await put(store, "landing_metrics", [host_sample(host_id="h2", host="new-1")])
    assert [h.name for h in await hosts_meant(store, [])] == ["new-1", "web-1"]
    assert await session.frozen(ALL, auto=False, use=False, keep=5) == 0
    out = capsys.readouterr().out
    assert "new-1: only 1 quiet readings; at least 300 are needed" in out
    assert "frozen h1 (web-1), version 1\n" in out
    assert await session.frozen(Span(T0, T0 + HOUR, []), auto=True, use=False, keep=5) == 1
    assert session.use("frozen", "web-1", 1) == 0
    assert "frozen h1: version 1 is in use" in capsys.readouterr().out


@pytest.fixture
async def api(fresh_store: Settings) -> AsyncIterator[Api]:
    async with running_api(fresh_store) as it:
        yield it


async def test_cpu_usage_feeds_detect_overload(store: Store, api: Api) -> None:
    cpu = [10.0, 15.0, 20.0, 97.5, 12.0]
    rows = [host_sample(ts=T0 + n * 1000, seq=n, event_id=f"e{n}", cpu={"percent": p}) for n, p in enumerate(cpu)]
    await put(store, "landing_metrics", rows)
    api.hear(host_sample(ts=T0 + 6000, seq=6, event_id="e6", cpu={"percent": 11.0}))
    api.clock.advance(10)
    usage = await api.data("/api/system/cpu_usage/?limit=60")
    assert usage == {"data": [*cpu, 11.0]}
    for method in ("threshold", "svm", "forest"):
        found = await api.data("/api/system/detect_overload/", method="POST", body=usage | {"method": method})
        assert found == {"overload": [0, 0, 0, 1, 0, 0]}, method
    body = usage | {"method": "sigma", "threshold": 2}
    assert (await api.data("/api/system/detect_overload/", method="POST", body=body))["overload"] == [0, 0, 0, 1, 0, 0]


async def test_a_running_api_takes_up_another_version(api: Api) -> None:
    directory = registry.models_dir(api.deps.settings.data_dir)
    body = {"data": [40, 60], "method": "svm"}

    async def ask() -> tuple[list[int], str]:
        answer = await api.ask("/api/system/detect_overload/", method="POST", body=body)
        return answer.json()["data"]["overload"], answer.headers["Lapwing-Model"]

    assert await ask() == ([0, 0], "svm/shipped")
    registry.add(directory, card(), svm_arrays(50.0), use=True)
    registry.add(directory, card(), svm_arrays(30.0), use=False)
    api.clock.advance(LOOK_EVERY)
    assert await ask() == ([0, 1], "svm/1")
    registry.use(directory, "overload", "svm", 2)
    api.clock.advance(LOOK_EVERY)
    assert await ask() == ([1, 1], "svm/2")
    registry.add(directory, card(), svm_arrays(30.0), use=True)
    (directory / "overload/svm/3/model.npz").write_bytes(b"\x80\x04evil")
    api.clock.advance(LOOK_EVERY)
    assert await ask() == ([0, 0], "svm/shipped"), "the one in use is poisoned"


async def test_a_model_of_several_columns_is_named_in_the_refusal(api: Api) -> None:
    directory = registry.models_dir(api.deps.settings.data_dir)
    arrays = forest_arrays() | {"low": np.zeros(2), "high": np.full(2, 100.0)}
    registry.add(directory, card(name="forest", features=("cpu", "mem")), arrays, use=True)
    status, message = await api.refused(
        "/api/system/detect_overload/", method="POST", body={"data": [1], "method": "forest"}, accept_language="en"
    )
    assert status == 422 and "several columns (cpu, mem)" in message
