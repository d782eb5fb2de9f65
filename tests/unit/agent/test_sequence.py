"""Numbers that go on growing after a restart."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from services.agent.sequence import Sequence


def _opened(path: Path, now_ms: int = 1000) -> Sequence:
    sequence = Sequence(path, now_ms, block=10)
    sequence.reserve()
    return sequence


def _take(sequence: Sequence, count: int) -> list[int]:
    taken = []
    for _ in range(count):
        taken.append(sequence.next())
        if sequence.low:
            sequence.reserve()
    return taken


def test_after_a_clean_stop_the_numbers_go_on_without_a_gap(tmp_path: Path) -> None:
    sequence = _opened(tmp_path / "sequence")
    assert _take(sequence, 25) == list(range(1000, 1025))
    sequence.close(instant=4711)
    again = _opened(tmp_path / "sequence", 9_999_999)
    assert again.instant == 4711
    assert _take(again, 2) == [1025, 1026]


def test_after_a_kill_no_number_is_given_out_twice(tmp_path: Path) -> None:
    last = 0
    for killed_after in (1, 7, 23):
        taken = _take(_opened(tmp_path / "sequence"), killed_after)
        assert taken[0] > last
        last = taken[-1]


def test_a_file_of_an_earlier_version_knows_no_instant(tmp_path: Path) -> None:
    (tmp_path / "sequence").write_text("300\n")
    sequence = _opened(tmp_path / "sequence")
    assert (sequence.next(), sequence.instant) == (300, -1)


@pytest.mark.parametrize("content", ["", "garbage", "12x", "12 x"])
def test_a_file_that_cannot_be_read_is_a_first_start(tmp_path: Path, content: str) -> None:
    (tmp_path / "sequence").write_text(content)
    assert _opened(tmp_path / "sequence", 5000).next() == 5000


def test_a_disk_that_takes_nothing_stops_nothing_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        sequence = _opened(tmp_path / "no" / "directory" / "sequence")
        assert _take(sequence, 40) == list(range(1000, 1040))
        sequence.close()
    assert caplog.text.count("cannot keep the sequence number") == 1
