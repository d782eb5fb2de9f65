from __future__ import annotations

import pytest

from shared.runtime import times

T = 1_769_947_200_000  # 2026-02-01T12:00:00Z


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-02-01T12:00:00Z", T),
        ("2026-02-01t12:00:00z", T),
        ("2026-02-01 12:00:00Z", T),
        ("2026-02-01T20:00:00+08:00", T),
        ("2026-02-01T20:00:00 08:00", T),  # a `+` that nobody percent-encoded
        ("2026-02-01T07:30:00-04:30", T),
        ("2026-02-01T12:00:00.5Z", T + 500),
        ("2026-02-01T12:00:00.123456789Z", T + 123),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_instants(text: str, ms: int) -> None:
    assert times.instant(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-02-01",
        "2026-02-01T12:00:00",
        "2026-02-30T00:00:00Z",
        "2026-02-01T25:00:00Z",
        "20260201T120000Z",
        "1969-12-31T23:59:59Z",
        "2100-01-01T00:00:01Z",
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00+14:00",
        str(T),
    ],
)
def test_what_is_no_instant(text: str) -> None:
    with pytest.raises(ValueError):
        times.instant(text)


@pytest.mark.parametrize(
    ("text", "ms"),
    [("now", T), ("now-6h", T - 21_600_000), ("now-1d", T - 86_400_000), (str(T), T), ("2026-02-01T12:00:00Z", T)],
)
def test_moments(text: str, ms: int) -> None:
    assert times.moment(text, T) == ms


@pytest.mark.parametrize("text", ["now+1h", "now-", "now-1y", "-1", "1e3", "now-999999999d", "9" * 16])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError):
        times.moment(text, T)


@pytest.mark.parametrize(("text", "seconds"), [("1s", 1), ("30s", 30), ("1.5h", 5400), ("2d", 172_800), ("1m", 60)])
def test_durations(text: str, seconds: int) -> None:
    assert times.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "5", "1w", "-1s", "1.5s", "inf", "999999999d", "1 s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError):
        times.duration(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "00:00:00"),
        (59, "00:00:59"),
        (52_200, "14:30:00"),
        (86_400, "1 day, 00:00:00"),
        (2 * 86_400 + 52_200, "2 days, 14:30:00"),
        (400 * 86_400, "400 days, 00:00:00"),
        (-5, "00:00:00"),
    ],
)
def test_uptime(seconds: int, words: str) -> None:
    assert times.uptime(T, T + seconds * 1000) == words


def test_iso() -> None:
    assert times.iso(T) == "2026-02-01T12:00:00Z"
    assert times.iso(T + 7) == "2026-02-01T12:00:00.007Z"
    assert times.clock_face(T + 7) == "2026-02-01 12:00:00"


@pytest.mark.parametrize(("seconds", "words"), [(90, "90s"), (60, "1m"), (7200, "2h"), (86_400, "1d")])
def test_in_words(seconds: int, words: str) -> None:
    assert times.in_words(seconds) == words
    assert times.duration(words) == seconds
