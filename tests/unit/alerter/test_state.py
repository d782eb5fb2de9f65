"""The state machine of one alert, reading by reading."""

from __future__ import annotations

import pytest

from services.alerter.evaluation.state import Change, Episode, Policy, Reason, Verdict, end, step

B, M, C, G = Verdict.BEYOND, Verdict.BETWEEN, Verdict.CALM, Verdict.GONE
POLICY = Policy(for_ms=30_000, keep_firing_ms=15_000)
STALE = 300_000


def run(policy: Policy, *readings: tuple[float, Verdict]) -> list[tuple[float, str, Reason]]:
    """Changes as ``(second, state, reason)``."""
    episode: Episode | None = None
    changes: list[Change] = []
    for at, verdict in readings:
        episode, change = step(episode, policy, verdict, round(at * 1000) + 1_000_000, 1.0, STALE)
        changes += [change] if change else []
    return [((c.at - 1_000_000) / 1000, c.state, c.reason) for c in changes]


def test_it_fires_when_it_lasted_and_resolves_when_calm_lasted() -> None:
    readings = [(t, B) for t in range(40)] + [(t, C) for t in range(40, 60)]
    assert run(POLICY, *readings) == [
        (0, "pending", Reason.CROSSED),
        (30, "firing", Reason.HELD),
        (55, "resolved", Reason.CALMED),
    ]


def test_without_for_it_fires_at_once_and_without_keep_it_ends_at_once() -> None:
    assert run(Policy(), (0, B), (1, C), (2, B)) == [
        (0, "firing", Reason.CROSSED),
        (1, "resolved", Reason.CALMED),
        (2, "firing", Reason.CROSSED),
    ]


def test_one_calm_reading_ends_what_is_pending() -> None:
    assert run(POLICY, (0, B), (29, C), (31, B)) == [
        (0, "pending", Reason.CROSSED),
        (29, "inactive", Reason.FELL_BACK),
        (31, "pending", Reason.CROSSED),
    ]


def test_readings_in_the_band_neither_fire_nor_end() -> None:
    assert run(POLICY, (0, B), (10, M), (40, M), (41, B)) == [
        (0, "pending", Reason.CROSSED),
        (41, "firing", Reason.HELD),
    ]
    assert run(Policy(0, 10_000), (0, B), (1, C), (5, M), (11, C), (20, C), (21, C))[1:] == [
        (21, "resolved", Reason.CALMED)
    ]


def test_a_band_alone_begins_nothing() -> None:
    assert run(POLICY, (0, M), (50, M), (100, C), (200, G)) == []


def test_a_dip_shorter_than_keep_firing_is_not_an_end() -> None:
    assert run(POLICY, (0, B), (30, B), (35, C), (40, C), (45, B), (50, C), (64, C)) == [
        (0, "pending", Reason.CROSSED),
        (30, "firing", Reason.HELD),
    ]


def test_a_long_pause_does_not_count_as_lasting() -> None:
    assert run(POLICY, (0, B), (400, B), (401, B), (431, B)) == [
        (0, "pending", Reason.CROSSED),
        (400, "inactive", Reason.GAP),
        (401, "pending", Reason.CROSSED),
        (431, "firing", Reason.HELD),
    ]


@pytest.mark.parametrize(("before", "state"), [([(0, B)], "inactive"), ([(0, B), (30, B)], "resolved")])
def test_what_is_gone_ends(before: list[tuple[float, Verdict]], state: str) -> None:
    assert run(POLICY, *before, (31, G), (46, G))[-1][1:] == (state, Reason.GONE)


def test_old_and_repeated_readings_change_nothing() -> None:
    episode, _ = step(None, Policy(), B, 5000, 1.0, STALE)
    assert step(episode, Policy(), C, 5000, 1.0, STALE) == (episode, None)
    assert step(episode, Policy(), C, 4000, 1.0, STALE) == (episode, None)


def test_the_end_says_when_calm_began() -> None:
    episode = Episode("firing", 1000, 1000, 9000, 97.0, calm_since=5000)
    _, change = step(episode, Policy(0, 5000), C, 10_000, None, STALE)
    assert change == Change("firing", "resolved", Reason.CALMED, 10_000, 97.0, 5000)


def test_an_end_for_another_reason_is_never_before_the_last_reading() -> None:
    assert end(Episode("firing", 1000, 1000, 9000, 5.0), Reason.NO_DATA, 8000).at == 9001
    assert end(Episode("pending", 1000, 1000, 9000, 5.0), Reason.NO_DATA, 10_000).state == "inactive"
