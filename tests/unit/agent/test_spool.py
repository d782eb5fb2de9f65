"""Events on disk: in order, bounded, and whole after whatever happened."""

from __future__ import annotations

import errno
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.agent.spool import Position, Spool
from shared.runtime.clock import ManualClock
from tests.unit.agent.fakes import line, numbers


def opened(directory: Path, clock: ManualClock | None = None, **more: Any) -> Spool:
    spool = Spool(
        directory, more.pop("max_bytes", 1 << 20), more.pop("max_age", 3600.0), clock or ManualClock(), **more
    )
    spool.open()
    return spool


def drain(spool: Spool, most_bytes: int = 500) -> list[int]:
    found: list[int] = []
    while batch := spool.read(Position(), most_bytes):
        found += numbers(batch.lines)
        spool.trim(batch.until)
    return found


def fill(spool: Spool, first: int, count: int, size: int = 100) -> None:
    for number in range(first, first + count):
        spool.append([line(number, size)])


def test_events_come_back_in_order(tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=4096)
    fill(spool, 0, 200)
    assert len(list(tmp_path.glob("*.jsonl"))) > 3
    assert spool.events == 200
    assert drain(spool) == list(range(200))
    assert (spool.events, spool.size) == (0, 0)
    assert list(tmp_path.glob("*.jsonl")) == []


def test_a_batch_has_as_many_events_as_fit_and_at_least_one(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([line(n, 100) for n in range(10)])
    batch = spool.read(Position(), 350)
    assert batch is not None
    assert numbers(batch.lines) == [0, 1, 2]
    tiny = spool.read(batch.until, 1)
    assert tiny is not None
    assert numbers(tiny.lines) == [3]


def test_a_reader_may_go_ahead_of_what_is_trimmed(tmp_path: Path) -> None:
    """What a journal needs: sent is one thing, stored is another."""
    spool = opened(tmp_path, segment_bytes=4096)
    fill(spool, 0, 100)
    place, read = Position(), []
    while batch := spool.read(place, 1000):
        place = batch.until
        read += numbers(batch.lines)
    assert read == list(range(100))
    assert spool.events == 100
    spool.trim(place)
    assert spool.events == 0


def test_a_kill_forgets_nothing_of_what_was_trimmed(tmp_path: Path) -> None:
    killed = opened(tmp_path)
    fill(killed, 0, 10)
    killed.trim(killed.read(Position(), 450).until)  # type: ignore[union-attr]
    assert drain(opened(tmp_path)) == list(range(4, 10))


def test_events_behind_a_position_are_counted_across_segments_and_into_memory(tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=4096)
    fill(spool, 0, 10)
    ten = spool.end
    fill(spool, 10, 100)
    assert spool.events_after(Position()) == 110
    assert spool.events_after(ten) == 100
    assert spool.events_after(spool.end) == 0
    spool.trim(ten)
    assert spool.events_after(Position()) == 100


def test_reading_stops_where_it_is_told_to(tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=4096)
    fill(spool, 0, 60)
    until = spool.end
    fill(spool, 60, 60)
    found, after = [], Position()
    while batch := spool.read(after, 1000, until):
        found += numbers(batch.lines)
        after = batch.until
    assert found == list(range(60))


def test_a_restart_keeps_what_was_not_sent(tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=4096)
    fill(spool, 0, 100)
    spool.close()
    again = opened(tmp_path, segment_bytes=4096)
    assert again.events == 100
    fill(again, 100, 5)
    assert drain(again) == list(range(105))


def test_a_restart_with_the_clock_set_back_keeps_the_order(tmp_path: Path) -> None:
    spool = opened(tmp_path, ManualClock(1_800_000_000_000))
    fill(spool, 0, 3)
    spool.close()
    again = opened(tmp_path, ManualClock(1_700_000_000_000))
    fill(again, 3, 3)
    again.close()
    assert drain(opened(tmp_path)) == list(range(6))


@pytest.mark.parametrize("cut", [1, 30, 99, 100])
def test_half_a_line_at_the_end_is_passed_over(tmp_path: Path, cut: int) -> None:
    spool = opened(tmp_path)
    fill(spool, 0, 10)
    spool.close()
    (segment,) = tmp_path.iterdir()
    segment.write_bytes(segment.read_bytes()[:-cut])
    again = opened(tmp_path)
    fill(again, 10, 2)
    assert drain(again) == [*range(9), 10, 11]


def test_what_a_power_cut_left_in_the_middle_is_passed_over_and_counted(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    fill(spool, 0, 5)
    spool.close()
    (segment,) = tmp_path.iterdir()
    lines = segment.read_bytes().split(b"\n")
    lines[2] = b"\0" * 100
    segment.write_bytes(b"\n".join(lines))
    again = opened(tmp_path)
    assert drain(again) == [0, 1, 3, 4]
    assert again.lost.unreadable == 1


def test_a_segment_of_garbage_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "00000000000000000001.jsonl").write_bytes(b"\xff\xfe" * 5000)
    (tmp_path / "00000000000000000002.jsonl").write_bytes(b"not json\n" + line(7) + b"\n")
    (tmp_path / "readme.txt").write_text("somebody else's")
    spool = opened(tmp_path)
    assert drain(spool) == [7]
    assert (tmp_path / "readme.txt").exists()


def test_beyond_the_bound_of_bytes_the_oldest_go_and_are_counted(tmp_path: Path) -> None:
    spool = opened(tmp_path, max_bytes=64 << 10)
    fill(spool, 0, 2000)
    assert spool.size <= 64 << 10
    left = drain(spool)
    assert left == list(range(left[0], 2000))
    assert left[0] > 1000
    assert spool.lost.too_many == left[0]


def test_beyond_the_bound_of_age_the_oldest_go_and_are_counted(tmp_path: Path) -> None:
    clock = ManualClock()
    spool = opened(tmp_path, clock, max_age=100.0, segment_bytes=4096)
    fill(spool, 0, 50)
    clock.advance(90)
    fill(spool, 50, 50)
    clock.advance(20)
    left = drain(spool)
    assert left[-1] == 99
    assert left[0] > 0
    assert spool.lost.too_old == left[0]


def test_a_wall_clock_that_jumps_makes_nothing_old(tmp_path: Path) -> None:
    clock = ManualClock()
    spool = opened(tmp_path, clock, max_age=100.0)
    fill(spool, 0, 5)
    clock.jump(10 * 86_400)
    assert drain(spool) == list(range(5))


def test_age_goes_on_counting_through_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    spool = opened(tmp_path, clock, max_age=100.0)
    spool.append([line(0, ts=clock.now_ms())])
    spool.close()
    assert opened(tmp_path, ManualClock(clock.now_ms() + 99_000), max_age=100.0).events == 1
    late = opened(tmp_path, ManualClock(clock.now_ms() + 101_000), max_age=100.0)
    assert (late.events, late.lost.too_old) == (0, 1)


class FullDisk:
    """A file that takes only so many more bytes."""

    def __init__(self, file: Any, room: int) -> None:
        self._file = file
        self.room = room

    def write(self, data: bytes) -> int:
        if len(data) > self.room:
            self._file.write(data[: self.room])
            self.room = 0
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(data)
        return int(self._file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def test_a_full_disk_is_said_once_and_events_are_kept_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = opened(tmp_path)
    fill(spool, 0, 1)
    full = FullDisk(spool._file, 250)
    spool._file = full  # type: ignore[assignment]
    with caplog.at_level(logging.INFO):
        fill(spool, 1, 20)
        assert caplog.text.count("the spool cannot be written") == 1
        assert spool.events == 21
        full.room = 1 << 20
        fill(spool, 21, 1)
        assert caplog.text.count("the spool's disk takes events again") == 1
    spool.close()
    assert drain(opened(tmp_path)) == list(range(22)), "no half line, no event twice, all in order"


def test_while_the_disk_is_full_events_are_sent_from_memory(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    fill(spool, 0, 2)
    spool._file = FullDisk(spool._file, 0)  # type: ignore[assignment]
    fill(spool, 2, 5)
    assert drain(spool, 220) == list(range(7))
    assert spool.events == 0


def test_memory_is_bounded_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    spool = opened(tmp_path / "file", memory_bytes=1000)
    fill(spool, 0, 50)
    assert spool.size <= 1000
    left = drain(spool)
    assert left == list(range(left[0], 50))
    assert spool.lost.no_room == left[0] > 0


def test_what_is_in_memory_only_when_we_stop_is_counted_as_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    spool = opened(tmp_path / "file")
    fill(spool, 0, 3)
    spool.close()
    assert spool.lost.no_room == 3
    assert "events are lost" in caplog.text


def test_a_segment_that_is_gone_has_no_namesake(tmp_path: Path) -> None:
    """How far it was trimmed outlives it, and must not be taken for the next one's."""
    spool = opened(tmp_path)
    fill(spool, 0, 2)
    for _ in range(2):
        batch = spool.read(Position(), 1)
        assert batch
        spool.trim(batch.until)
    spool = opened(tmp_path)
    fill(spool, 2, 1)
    assert drain(opened(tmp_path)) == [2]


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.integers(1, 30)),
            st.tuples(st.just("send"), st.integers(1, 3000)),
            st.tuples(st.just("restart"), st.just(0)),
            st.tuples(st.just("kill"), st.integers(1, 60)),
        ),
        max_size=25,
    )
)
def test_whatever_happens_nothing_is_out_of_order_and_only_the_torn_line_is_lost(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    directory = tmp_path_factory.mktemp("spool")
    spool = opened(directory, segment_bytes=4096)
    written, torn, sent = 0, set(), []
    for step, amount in steps:
        if step == "append":
            fill(spool, written, amount)
            written += amount
        elif step == "send":
            if batch := spool.read(Position(), amount):
                sent += numbers(batch.lines)
                spool.trim(batch.until)
        else:
            newest = max(directory.glob("*.jsonl"), default=None)
            if step == "kill" and newest is not None and newest.read_bytes().endswith(b"\n"):
                torn.add(numbers(newest.read_bytes().splitlines()[-1:])[0])
                newest.write_bytes(newest.read_bytes()[:-amount])
            spool = opened(directory, segment_bytes=4096)
    sent += drain(spool)
    assert set(sent) | torn == set(range(written))
    first_time = list(dict.fromkeys(sent))
    assert first_time == sorted(first_time)
