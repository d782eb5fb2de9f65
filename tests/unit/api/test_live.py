"""What memory holds of a host, and what it does not let itself be told."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.api import metric_values
from services.api.hosts import Directory, OwnHost
from services.api.live import RECENT_CPU, HostState, Live, Reading
from shared.schemas.codec import Decoder
from shared.schemas.metrics import CATALOGUE
from shared.schemas.sample import HostSample
from tests.support.samples import T0, host_sample

DECODER = Decoder(HostSample)
HOST = host_sample()["host_id"]


def hear(live: Live, now_ms: int | None = None, **overrides: Any) -> tuple[HostState, bool]:
    sample = DECODER.line(json.dumps(host_sample(**overrides)).encode())
    return live.sample(sample, sample.ts if now_ms is None else now_ms)


def test_newer_readings_replace_older_ones_section_by_section() -> None:
    live = Live()
    hear(live, cpu={"percent": 1.0})
    host, newest = hear(live, ts=T0 + 1000, cpu={"percent": 2.0}, disks=None)
    assert newest
    assert host.section("cpu").percent == 2.0
    assert len(host.section("disks")) == 2, "what was not due is kept"
    assert host.sections["disks"].ts == T0


def test_what_a_spool_sends_late_does_not_turn_the_clock_back() -> None:
    live = Live()
    hear(live, ts=T0 + 5000, host="renamed", labels={"a": "b"})
    host, newest = hear(live, ts=T0, host="old-name", now_ms=T0 + 9000, gpus=None)
    assert not newest
    assert (host.name, host.labels, host.heard_ms) == ("renamed", {"a": "b"}, T0 + 5000)
    assert host.sections["cpu"].ts == T0 + 5000


def test_a_late_event_still_fills_a_section_that_nothing_newer_has() -> None:
    live = Live()
    hear(live, ts=T0 + 5000, disks=None)
    host, _ = hear(live, ts=T0)
    assert host.sections["disks"].ts == T0


def test_an_event_from_the_future_does_not_silence_the_host() -> None:
    live = Live(max_future_ms=600_000)
    hear(live, ts=T0)
    host, newest = hear(live, ts=T0 + 86_400_000, now_ms=T0 + 1000, cpu={"percent": 99.0})
    assert not newest
    host, newest = hear(live, ts=T0 + 2000, cpu={"percent": 7.0})
    assert newest
    assert (host.section("cpu").percent, host.heard_ms) == (7.0, T0 + 2000)


def test_a_clock_of_ours_that_was_ahead_and_is_put_right_leaves_no_host_behind() -> None:
    live = Live(max_future_ms=600_000)
    host, _ = hear(live, ts=T0 + 86_400_000, cpu={"percent": 99.0})
    host, newest = hear(live, ts=T0, cpu={"percent": 7.0})
    assert newest
    assert [percent for _, percent in host.recent_cpu] == [7.0]
    assert host.section("cpu").percent == 7.0
    assert directory(live).status(host, T0 + 1000) == "online"


def test_recent_cpu_is_bounded_and_in_order() -> None:
    live = Live()
    for i in range(RECENT_CPU + 50):
        host, _ = hear(live, ts=T0 + i * 1000)
    hear(live, ts=T0 + 3000)
    assert len(host.recent_cpu) == RECENT_CPU
    assert [ts for ts, _ in host.recent_cpu] == sorted(ts for ts, _ in host.recent_cpu)


def test_the_fleet_is_bounded_by_forgetting_the_longest_silent() -> None:
    live = Live(max_hosts=3)
    for i in range(5):
        hear(live, host_id=f"h{i}", ts=T0 + i)
    assert sorted(h.host_id for h in live) == ["h2", "h3", "h4"]


def test_the_store_never_overrules_what_a_topic_said() -> None:
    live = Live()
    hear(live, host="from-topic")
    live.known(HOST, "from-store", {}, T0 - 1000)
    assert live.get(HOST).name == "from-topic"  # type: ignore[union-attr]


def directory(live: Live, own: str = "") -> Directory:
    return Directory(live, OwnHost(own, "no-such-name"), 60_000)


def test_two_agents_that_share_an_id_are_a_conflict_and_a_restart_is_not() -> None:
    live = Live()
    who = directory(live)
    for i, started in enumerate((1, 1, 2, 2)):
        host, _ = hear(live, ts=T0 + i * 1000, agent={"started_at": started})
    assert who.status(host, T0 + 4000) == "online", "an agent that restarts"
    for i, started in enumerate((1, 2, 1), start=4):
        hear(live, ts=T0 + i * 1000, agent={"started_at": started})
    assert who.status(host, T0 + 8000) == "conflict"
    for i in range(400):
        hear(live, ts=T0 + 8000 + i * 1000, agent={"started_at": 1})
    assert who.status(host, T0 + 408_000) == "online", "it was settled"


def test_a_host_falls_silent_by_its_own_interval() -> None:
    live = Live()
    who = directory(live)
    quick, _ = hear(live, host_id="quick")
    slow, _ = hear(live, host_id="slow", agent={"interval_ms": 300_000})
    assert who.status(quick, T0 + 60_000) == "online"
    assert who.status(quick, T0 + 60_001) == "silent"
    assert who.status(slow, T0 + 800_000) == "online"


def test_the_default_host_is_our_own_machine_while_it_reports() -> None:
    live = Live()
    hear(live, host_id="own", ts=T0)
    hear(live, host_id="other", ts=T0 + 1000)
    assert directory(live, "own").find(None, T0 + 2000).host_id == "own"
    assert directory(live, "elsewhere").find(None, T0 + 2000).host_id == "other"
    hear(live, host_id="other", ts=T0 + 100_000)
    assert directory(live, "own").find(None, T0 + 100_000).host_id == "other", "ours fell silent"
    assert directory(live, "own").find(None, T0 + 900_000).host_id == "own", "all did"


def test_every_metric_of_the_catalogue_can_be_read_from_memory() -> None:
    live = Live()
    host, _ = hear(live)
    host.scored(T0, 0.5, {"cpu.percent": 0.7})
    for metric in CATALOGUE:
        found = list(metric_values.READERS[metric.name](host))
        assert found, metric.name
        assert all(isinstance(value, int | float) for _, value in found)
        assert all(bool(label) is bool(metric.label) for label, _ in found)


def test_the_top_of_the_fleet_in_order() -> None:
    live = Live()
    for i, percent in enumerate((5.0, 95.0, 50.0, 95.0)):
        hear(live, host_id=f"h{i}", cpu={"percent": percent})
    hear(live, host_id="without", cpu=None)
    ranked = metric_values.top(live, "cpu.percent", 3)
    assert [(r.host.host_id, r.value) for r in ranked] == [("h1", 95.0), ("h3", 95.0), ("h2", 50.0)]
    assert metric_values.top(live, "cpu.percent", 1, greatest=False)[0].value == 5.0
    full = metric_values.top(live, "disk.percent", 1)[0]
    assert (full.label, full.value) == ("/", 64.2)


@given(
    disks=st.lists(st.lists(st.sampled_from((1.0, 20.0, 20.5, 90.0)), max_size=3) | st.none(), max_size=8),
    limit=st.integers(1, 6),
    greatest=st.booleans(),
)
def test_the_top_is_what_sorting_everything_would_give(
    disks: list[list[float] | None], limit: int, greatest: bool
) -> None:
    live = Live()
    for i, percents in enumerate(disks):
        host, _ = hear(live, host_id=f"h{i}", disks=None)
        if percents is not None:
            entries = [SimpleNamespace(mountpoint=f"/{n}", percent=p) for n, p in enumerate(percents)]
            host.sections["disks"] = Reading(T0, entries)
    everything = [(p, i, n) for i, percents in enumerate(disks) for n, p in enumerate(percents or [])]
    in_order = sorted(everything, key=lambda e: (-e[0] if greatest else e[0], e[1], e[2]))
    ranked = metric_values.top(live, "disk.percent", limit, greatest=greatest)
    assert [(r.value, r.host.host_id, r.label) for r in ranked] == [
        (p, f"h{i}", f"/{n}") for p, i, n in in_order[:limit]
    ]


def test_every_metric_can_be_ranked_and_who_lacks_it_has_no_place() -> None:
    live = Live()
    hear(live, host_id="full")[0].scored(T0, 0.5, {"cpu.percent": 0.7})
    bare, _ = hear(live, host_id="bare")
    bare.sections.clear()
    hot = SimpleNamespace(id=0, load=1.0, memory_total=1.0, memory_used=1.0, memory_util=1.0, temperature=50.0)
    cold = SimpleNamespace(**vars(hot) | {"id": 1, "temperature": None})
    live.get("full").sections["gpus"] = Reading(T0, SimpleNamespace(devices=[cold, hot]))  # type: ignore[union-attr]
    for metric in CATALOGUE:
        ranked = metric_values.top(live, metric.name, 100)
        assert {r.host.host_id for r in ranked} == {"full"}, metric.name
    assert [r.label for r in metric_values.top(live, "gpu.temperature", 5)] == ["0"]
