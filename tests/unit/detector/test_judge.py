from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.detector.bank import Verdict
from services.detector.judge import SILENT_MS, UPDATE_EVERY_MS, Host, Judge
from shared.schemas.anomaly import Anomaly, Contribution
from tests.unit.detector.stories import T0

WEB = Host("host-1", "web-1", {"role": "web"})
CPU = Contribution(metric="cpu.percent", share=0.9, value=99.0, expected_low=0, expected_high=27)
SWAPPING = Contribution(metric="swap.out_bytes_per_s", share=0.8, value=9e6, expected_low=0, expected_high=1e6)


def judge(*, threshold: float = 1.0, open_after: float = 5, close_after: float = 30) -> Judge:
    return Judge(threshold=threshold, open_after=open_after, close_after=close_after)


def unusual(score: float = 2.0, *contributions: Contribution) -> Verdict:
    return Verdict(score=score, contributions=contributions or (CPU,), page=True)


def open_on(it: Judge, *hosts: str) -> list[str]:
    """Those of ``hosts`` with an open episode."""
    return [host for host in hosts if (state := it.state(host)) and state["episode"]]


CALM = Verdict(score=0.3)


def told(it: Judge, story: dict[range, Verdict], host: Host = WEB, cpu: float = 5.0) -> list[Anomaly]:
    out = []
    for seconds, verdict in story.items():
        for second in seconds:
            out += it.step(host, T0 + second * 1000, verdict, {"cpu.percent": cpu}.get)
    return out


def test_an_episode_opens_updates_and_closes_once() -> None:
    events = told(judge(), {range(10): CALM, range(10, 80): unusual(), range(80, 140): CALM})
    assert [e.state for e in events] == ["open", "update", "update", "close"]
    opened, *_, closed = events
    assert (opened.started_at, opened.ts) == (T0 + 10_000, T0 + 15_000)
    assert (closed.started_at, closed.ended_at) == (T0 + 10_000, T0 + 80_000)
    assert closed.ts == T0 + 110_000
    assert len({e.anomaly_id for e in events}) == 1
    assert len({e.event_id for e in events}) == len(events)
    assert opened.labels == {"role": "web"}
    assert opened.ended_at is None


def test_a_short_burst_is_not_worth_a_word() -> None:
    assert told(judge(), {range(5): unusual(9.0), range(5, 100): CALM}) == []


def test_one_quiet_sample_in_a_storm_is_not_its_end() -> None:
    events = told(judge(), {range(3): unusual(), range(3, 4): CALM, range(4, 8): unusual()})
    assert [(e.state, e.started_at) for e in events] == [("open", T0)]


def test_bursts_with_calm_between_them_do_not_add_up() -> None:
    story: dict[range, Verdict] = {}
    for start in range(0, 100, 8):
        story |= {range(start, start + 4): unusual(), range(start + 4, start + 8): CALM}
    assert told(judge(), story) == []


def test_a_flicker_around_the_threshold_does_not_close_and_open() -> None:
    flicker = {range(n, n + 1): unusual(1.05) if n % 2 else Verdict(score=0.95) for n in range(20, 200)}
    events = told(judge(close_after=10), {range(20): unusual(), **flicker})
    assert [e.state for e in events if e.state != "update"] == ["open"]


def test_it_says_nothing_while_warming_up() -> None:
    warming = Verdict(score=9.0, contributions=(CPU,), warming_up=True)
    assert told(judge(), {range(100): warming}) == []
    assert [e.state for e in told(judge(open_after=0), {range(5): warming, range(5, 6): unusual()})] == ["open"]


def test_the_peak_is_kept_and_growing_worse_is_told_at_once() -> None:
    events = told(
        judge(),
        {range(10): unusual(1.5), range(10, 12): unusual(4.0), range(12, 20): unusual(1.2), range(20, 60): CALM},
    )
    assert [(e.state, e.severity, e.peak_score) for e in events] == [
        ("open", "warning", 1.5),
        ("update", "critical", 4.0),
        ("close", "critical", 4.0),
    ]
    assert events[-1].score == pytest.approx(0.3)


def test_it_is_about_what_it_was_at_its_worst() -> None:
    events = told(judge(), {range(10): unusual(2.0), range(10, 50): unusual(1.1, SWAPPING), range(50, 90): CALM})
    assert {e.finding for e in events} == {"cpu_overload"}
    events = told(judge(), {range(10): unusual(2.0), range(10, 50): unusual(2.5, SWAPPING), range(50, 90): CALM})
    assert [e.finding for e in events] == ["cpu_overload", "memory_pressure", "memory_pressure", "memory_pressure"]


def test_it_is_told_again_while_it_lasts() -> None:
    events = told(judge(), {range(300): unusual()})
    times = [e.ts for e in events]
    assert [b - a for a, b in pairwise(times)] == [UPDATE_EVERY_MS] * (len(times) - 1)


def test_a_close_says_whether_things_are_back_or_have_become_normal() -> None:
    back = told(judge(), {range(10): unusual(), range(10, 50): CALM}, cpu=5.0)[-1]
    stayed = told(judge(), {range(10): unusual(), range(10, 50): CALM}, cpu=98.0)[-1]
    assert back.evidence == {"ended": "recovered"}
    assert stayed.evidence == {"ended": "became normal", "stayed": "cpu.percent 98 % (was 0 to 27 %)"}
    assert stayed.summary.startswith("Over (became normal): CPU overloaded on web-1: cpu.percent 99 %")


def test_a_host_that_falls_silent_is_closed_when_others_have_gone_on() -> None:
    it = judge()
    told(it, {range(10): unusual()})
    assert it.sweep() == []
    told(it, {range(SILENT_MS // 1000 + 20, SILENT_MS // 1000 + 21): CALM}, Host("host-2", "db-1"))
    (closed,) = it.sweep()
    assert (closed.host_id, closed.state, closed.evidence) == ("host-1", "close", {"ended": "no data"})
    assert closed.ended_at == T0 + 9_000
    assert it.sweep() == []


def test_a_host_whose_clock_is_behind_is_not_silent() -> None:
    it = judge()
    behind, hour = Host("host-3", "old-1"), 3_600_000
    for second in range(60):
        it.step(WEB, T0 + second * 1000, CALM, {}.get)
        it.step(behind, T0 - hour + second * 1000, unusual(), {}.get)
        assert it.sweep() == []
    assert open_on(it, "host-1", "host-3") == ["host-3"]


def test_silence_is_not_duration() -> None:
    hours_apart = {range(1): unusual(), range(7200, 7203): unusual()}
    assert told(judge(), hours_apart) == []


def test_hosts_are_judged_apart() -> None:
    it = judge()
    other = Host("host-2", "db-1")
    for second in range(10):
        assert it.step(other, T0 + second * 1000, CALM, {}.get) == []
        it.step(WEB, T0 + second * 1000, unusual(), {}.get)
    assert open_on(it, "host-1", "host-2") == ["host-1"]


def test_the_same_story_told_twice_has_the_same_ids() -> None:
    story = {range(10): CALM, range(10, 60): unusual(), range(60, 100): CALM}
    assert told(judge(), dict(story)) == told(judge(), dict(story))


def test_what_is_no_page_is_for_the_list_only_until_it_is_one() -> None:
    quiet = Verdict(score=3.5, contributions=(CPU,))
    events = told(judge(), {range(10): quiet, range(10, 11): unusual(3.6), range(11, 20): quiet, range(20, 60): CALM})
    assert [(e.state, e.severity) for e in events] == [("open", "info"), ("update", "critical"), ("close", "critical")]


def test_a_page_in_the_seconds_before_the_opening_counts() -> None:
    paged_first = {range(1): unusual(), range(1, 8): Verdict(score=2.0, contributions=(CPU,))}
    assert [e.severity for e in told(judge(), paged_first)] == ["warning"]


@pytest.mark.parametrize("cut", range(1, 150, 7))
def test_a_judge_that_goes_on_from_a_state_says_what_the_first_would_have_said(cut: int) -> None:
    story = [CALM] * 10 + [unusual(1.5)] * 40 + [unusual(4.0)] * 10 + [CALM] * 20 + [unusual()] * 10 + [CALM] * 60

    def some(it: Judge, seconds: range) -> list[Anomaly]:
        return [e for n in seconds for e in it.step(WEB, T0 + n * 1000, story[n], {"cpu.percent": 5.0}.get)]

    whole, before, after = judge(), judge(), judge()
    expected = some(whole, range(150))
    told_before = some(before, range(cut))
    after.restore("host-1", msgspec.msgpack.decode(msgspec.msgpack.encode(before.state("host-1"))))
    assert [*told_before, *some(after, range(cut, 150))] == expected


@pytest.mark.parametrize("state", [{}, {"last_ms": 1}, {"last_ms": 1, "heard_ms": 1, "episode": {"what": "is this"}}])
def test_what_is_no_state_changes_nothing(state: dict[str, object]) -> None:
    it = judge()
    told(it, {range(10): unusual()})
    before = it.state("host-1")
    with pytest.raises((ValueError, KeyError, TypeError)):
        it.restore("host-1", state)
    assert it.state("host-1") == before


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 90),
            st.sampled_from([0.0, 0.5, 0.79, 0.81, 1.0, 1.01, 2.0, 3.5, 10.0]),
            st.booleans(),
            st.sampled_from(["a", "b"]),
        ),
        max_size=150,
    ),
    st.sampled_from([0.0, 1.0, 5.0]),
    st.sampled_from([0.0, 10.0, 30.0]),
)
def test_every_episode_is_opened_once_and_closed_at_most_once(
    steps: list[tuple[int, float, bool, str]], open_after: float, close_after: float
) -> None:
    it = judge(open_after=open_after, close_after=close_after)
    now = T0
    live: dict[str, Anomaly] = {}
    seen: set[str] = set()
    events: set[str] = set()
    for step, score, warming, name in steps:
        now += step * 1000
        verdict = Verdict(score=score, contributions=(CPU,) if score > 1 else (), warming_up=warming)
        for event in [*it.step(Host(name, name), now, verdict, {}.get), *it.sweep()]:
            assert event.event_id not in events
            events.add(event.event_id)
            before = live.get(event.host_id)
            if event.state == "open":
                assert before is None
                assert event.anomaly_id not in seen
                assert event.ts - event.started_at >= open_after * 1000
                assert score > 1 and not warming
                seen.add(event.anomaly_id)
                live[event.host_id] = event
                continue
            assert before is not None
            assert event.anomaly_id == before.anomaly_id
            assert event.started_at == before.started_at
            assert event.peak_score >= before.peak_score
            assert event.ts >= before.ts
            if event.state == "close":
                assert event.ended_at is not None
                assert event.started_at <= event.ended_at <= event.ts
                del live[event.host_id]
            else:
                assert event.ended_at is None
                live[event.host_id] = event
        assert open_on(it, "a", "b") == sorted(live)
