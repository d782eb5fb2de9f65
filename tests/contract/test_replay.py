"""History out of a real store, judged again."""

from __future__ import annotations

import csv
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.detector.features import MAX_OF_A_KIND, WATCHED, features
from services.detector.judge import Host
from services.history.samples import samples
from services.history.span import Span
from services.history.stored import hosts, readings
from services.replay import cli
from services.replay.cli import _compared, _write, report
from shared.runtime.settings import Settings, SettingsError
from shared.schemas.codec import Decoder
from shared.schemas.sample import HostSample
from shared.store.clickhouse import open_store
from shared.store.port import Store
from tests.support.samples import T0, host_sample
from tests.support.store import fresh_store

__all__ = ["fresh_store"]


HOUR = 3_600_000


@pytest.fixture
async def store(fresh_store: Settings) -> AsyncIterator[Store]:
    store = await open_store(fresh_store, "writer")
    yield store
    await store.close()


async def put(store: Store, table: str, rows: list[dict[str, Any]]) -> None:
    await store.insert_lines(table, "\n".join(json.dumps(row) for row in rows).encode())


def sample(second: int, host: str = "h1", **more: Any) -> dict[str, Any]:
    return host_sample(
        ts=T0 + second * 1000, seq=second, event_id=f"{host}-{second}", host_id=host, host=f"name of {host}", **more
    )


def live(one: dict[str, Any]) -> dict[str, float]:
    return features(Decoder(HostSample).line(json.dumps(one).encode()))


def test_every_metric_the_models_know_is_read() -> None:
    assert {name.partition("{")[0] for name in live(host_sample())} == set(WATCHED)


async def test_what_is_read_is_what_the_models_saw(store: Store) -> None:
    disk = host_sample()["disks"][0]
    many = [disk | {"mountpoint": f"/srv/{n}"} for n in range(MAX_OF_A_KIND + 2)]
    written = [sample(0), sample(1, cpu=None, swap=None, gpus=None, disks=many), sample(7200 * 2)]
    await put(store, "landing_metrics", written)
    await put(store, "landing_metrics", written[:1])  # a repeat
    found = [r async for piece in readings(store, "h1", T0, T0 + 86_400_000) for r in piece]
    assert [r.ts_ms for r in found] == [one["ts"] for one in written]
    for reading, one in zip(found, written, strict=True):
        expected = live(one)
        assert reading.features.keys() == expected.keys()
        assert reading.features == pytest.approx(expected, abs=0.51, rel=1e-3)


async def test_whole_samples_are_as_they_were_but_for_rounding(store: Store) -> None:
    disk = host_sample()["disks"][0]
    written = [
        sample(0),
        sample(
            0, host="h2", cpu=None, swap=None, gpus=None, processes=None, disks=[disk, disk | {"mountpoint": "/srv"}]
        ),
        sample(3700, system=None),
        sample(7200 * 2),
    ]
    await put(store, "landing_metrics", [*written[::-1], written[0]])
    known = [Host(h, f"name of {h}", {"role": "web", "rack": "b4"}) for h in ("h1", "h2", "h3")]
    found = [s async for piece in samples(store, known, T0, T0 + 86_400_000) for s in piece]
    assert [(s.ts, s.host_id) for s in found] == [(one["ts"], one["host_id"]) for one in written]
    for got, one in zip(found, written, strict=True):
        expected = Decoder(HostSample).line(json.dumps(one).encode())
        assert features(got) == pytest.approx(features(expected), abs=0.51, rel=1e-3)
        assert (got.host, got.labels, got.seq) == (expected.host, expected.labels, expected.seq)
        for name in ("disks", "disk_io", "network", "temperatures", "memory", "swap", "pressure", "gpus"):
            assert_close(getattr(got, name), getattr(expected, name))
        assert (got.system and got.system.boot_time) == (expected.system and expected.system.boot_time)
        if expected.processes:
            assert got.processes and got.processes.threads == expected.processes.threads
            assert_close(got.processes.top, sorted(expected.processes.top, key=lambda p: p.pid))


def assert_close(got: Any, expected: Any) -> None:
    plain, wanted = msgspec.to_builtins(got), msgspec.to_builtins(expected)
    if isinstance(wanted, list):
        assert len(plain) == len(wanted)
        for one, other in zip(plain, wanted, strict=True):
            assert_close(one, other)
    elif isinstance(wanted, dict):
        assert plain.keys() == wanted.keys()
        for name, value in wanted.items():
            assert_close(plain[name], value)
    else:
        assert plain == (pytest.approx(wanted, abs=0.51, rel=1e-3) if isinstance(wanted, float) else wanted)


async def test_named_findings_take_part_of_all_hosts_together(store: Store, fresh_store: Settings) -> None:
    calm = host_sample()["disks"][0] | {"percent": 30.0, "free": 10**10}
    rows = [sample(second, "h1", disks=[calm]) for second in range(0, 7200, 15)]
    for second in range(0, 3600, 15):  # then h2 says no more
        rows.append(sample(second, "h2", disks=[calm | {"percent": 97.0} if 600 <= second < 1200 else calm]))
    await put(store, "landing_metrics", rows)
    outcome = await _compared(fresh_store, fresh_store, Span(T0, T0 + 7_200_000, []), HOUR)
    (full,) = outcome.comparison.after
    assert (full.host_id, full.finding, full.started_ms, full.ended_ms) == (
        "h2",
        "disk_full",
        T0 + 600_000,
        T0 + 1_230_000,
    )
    assert "disk_full" in report(outcome, "in force", "the same")


async def test_hosts_are_found_by_name_or_id(store: Store) -> None:
    await put(store, "landing_metrics", [sample(0), sample(0, host="h2")])
    assert [h.host_id for h in await hosts(store, [])] == ["h1", "h2"]
    assert [h.host_id for h in await hosts(store, ["name of h2"])] == ["h2"]
    assert [h.name for h in await hosts(store, ["h1"])] == ["name of h1"]


async def busy_minute(store: Store) -> None:
    quiet = {"cpu": {"percent": 5.0}}
    rows = [sample(s, **({"cpu": {"percent": 99.0}} if 4200 <= s < 4260 else quiet)) for s in range(3600, 4500)]
    await put(store, "landing_metrics", rows)


async def test_two_configurations_are_compared(store: Store, fresh_store: Settings, tmp_path: Path) -> None:
    await busy_minute(store)
    slower = fresh_store.detector.model_copy(update={"open_after": 120})
    other = fresh_store.model_copy(update={"detector": slower})
    outcome = await _compared(fresh_store, other, Span(T0 + 3_600_000, T0 + 4_600_000, []), HOUR)
    assert outcome.samples == 900 and outcome.host_days == pytest.approx(899 / 86_400)
    (lost,) = outcome.comparison.lost
    assert lost.finding == "cpu_overload" and not outcome.comparison.after
    _write(tmp_path / "out.csv", outcome.comparison)
    (row,) = csv.DictReader((tmp_path / "out.csv").open())
    assert (row["change"], row["host_id"], row["finding"]) == ("lost", "h1", "cpu_overload")
    assert row["ended_at"].endswith("Z")


async def test_without_another_one_it_is_what_was_told_at_the_time(store: Store, fresh_store: Settings) -> None:
    await busy_minute(store)
    told = {
        "kind": "anomaly",
        "event_id": "e",
        "ts": T0 + 3_700_000,
        "anomaly_id": "a",
        "host_id": "h1",
        "host": "web-1",
        "state": "close",
        "finding": "unusual",
        "severity": "warning",
        "score": 1.5,
        "peak_score": 1.5,
        "started_at": T0 + 3_700_000,
        "ended_at": T0 + 3_710_000,
    }
    await put(store, "landing_anomalies", [told])
    outcome = await _compared(fresh_store, None, Span(T0 + 3_600_000, T0 + 4_600_000, []), HOUR)
    assert [e.finding for e in outcome.comparison.lost] == ["unusual"]
    assert [e.finding for e in outcome.comparison.gained] == ["cpu_overload"]


async def test_what_people_said_counts(store: Store, fresh_store: Settings) -> None:
    await busy_minute(store)
    event = {
        "kind": "feedback",
        "event_id": "f",
        "ts": T0,
        "id": "a",
        "host_id": "h1",
        "verdict": "normal",
        "author": "ada",
        "metrics": [{"metric": "cpu.percent", "low": 0, "high": 100}],
    }
    await store.insert_rows("decisions", ["key", "value", "version"], [("feedback:a", json.dumps(event), 1)])
    outcome = await _compared(fresh_store, None, Span(T0 + 3_600_000, T0 + 4_600_000, []), HOUR)
    assert not outcome.comparison.after


async def test_a_host_that_nobody_knows_is_named(store: Store, fresh_store: Settings) -> None:
    with pytest.raises(SettingsError, match="--host: nobody called 'web-9'"):
        await _compared(fresh_store, None, Span(T0, T0 + 1000, ["web-9"]), HOUR)


def test_the_files_word_is_not_hidden_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "new.yaml").write_text("detector: {open_after: 60}\n")
    monkeypatch.setenv("LAPWING_DETECTOR__OPEN_AFTER", "7")
    assert cli._other(tmp_path / "new.yaml").detector.open_after == 60
