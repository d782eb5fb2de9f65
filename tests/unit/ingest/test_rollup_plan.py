"""Which rollups are computed together."""

from __future__ import annotations

from services.ingest.rollup_plan import EVENTS_AT_ONCE, HOSTS_AT_ONCE, Span, spans


def test_nothing_touched_is_nothing_to_do() -> None:
    assert list(spans({}, 60)) == []


def test_minutes_in_a_row_of_the_same_hosts_are_one_span() -> None:
    touched = {12: {"b", "a"}, 10: {"a", "b"}, 11: {"a", "b"}, 20: {"a"}}
    assert list(spans(touched, 60)) == [Span(10, 12, ("a", "b")), Span(20, 20, ("a",))]


def test_other_hosts_are_another_span_so_that_nobody_is_computed_for_nothing() -> None:
    assert list(spans({1: {"a"}, 2: {"a", "b"}, 3: {"b"}}, 60)) == [
        Span(1, 1, ("a",)),
        Span(2, 2, ("a", "b")),
        Span(3, 3, ("b",)),
    ]


def test_many_hosts_and_long_runs_are_cut() -> None:
    everybody = {f"h{n:05}" for n in range(2 * HOSTS_AT_ONCE + 1)}
    assert [len(s.hosts) for s in spans({5: everybody}, 60)] == [HOSTS_AT_ONCE, HOSTS_AT_ONCE, 1]
    day = dict.fromkeys(range(1440), everybody)
    assert all(
        (s.last - s.first + 1) * len(s.hosts) * 60 <= EVENTS_AT_ONCE + HOSTS_AT_ONCE * 60 for s in spans(day, 60)
    )


def test_every_touched_minute_of_every_host_is_in_exactly_one_span() -> None:
    touched = {m: {f"h{n}" for n in range(7) if (m * n) % 3 != 1} for m in range(200) if m % 11}
    covered = [(m, h) for s in spans(touched, 60) for m in range(s.first, s.last + 1) for h in s.hosts]
    assert sorted(covered) == sorted((m, h) for m, hosts in touched.items() for h in hosts)
