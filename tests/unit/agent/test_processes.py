"""Section processes: a /proc that people made up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from services.agent.collectors import process_details
from services.agent.collectors.base import Rest
from services.agent.collectors.process_details import (
    Details,
    LinuxDetails,
    full_name,
    parse_cmdline,
    parse_passwd,
    parse_uid,
    shorten,
)
from services.agent.collectors.process_scan import QUIET_AFTER, LinuxScan, Seen, parse_last_pid, parse_stat
from services.agent.collectors.processes import ProcessesCollector, count_states, noteworthy
from services.agent.paths import HostPaths
from services.agent.redact import Redactor

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def stat_line(
    pid: int,
    name: str = "worker",
    state: str = "S",
    ticks: int = 0,
    start: int = 100,
    rss: int = 10,
    threads: int = 1,
    flags: int = 0,
) -> bytes:
    fields = [state, "1", "1", "1", "0", "-1", str(flags), "0", "0", "0", "0", str(ticks), "0", "0", "0", "20", "0"]
    fields += [str(threads), "0", str(start), "4096000", str(rss), "0"]
    return f"{pid} ({name}) {' '.join(fields)}\n".encode()


class Proc:
    """A directory like /proc."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last_pid = 0
        (path / "self").mkdir()
        self.forked()

    def forked(self) -> None:
        self.last_pid += 1
        (self.path / "loadavg").write_text(f"0.1 0.1 0.1 1/10 {self.last_pid}\n")

    def put(self, pid: int, cmdline: bytes = b"", **stat: Any) -> None:
        directory = self.path / str(pid)
        if not directory.exists():
            directory.mkdir()
            self.forked()
        (directory / "stat").write_bytes(stat_line(pid, **stat))
        (directory / "cmdline").write_bytes(cmdline)
        (directory / "status").write_text("Name:\tx\nUid:\t1000\t0\t0\t0\n")

    def remove(self, pid: int) -> None:
        for file in (self.path / str(pid)).iterdir():
            file.unlink()
        (self.path / str(pid)).rmdir()


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    directory = tmp_path / "proc"
    directory.mkdir()
    return Proc(directory)


@pytest.fixture(params=[0, 100], ids=["opened each time", "kept open"])
def scan(proc: Proc, request: pytest.FixtureRequest) -> LinuxScan:
    return LinuxScan(str(proc.path), budget=request.param)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def used(scan: LinuxScan, now: float) -> dict[int, float]:
    return {p.pid: p.used for p in scan.processes(now)}


def test_a_line_of_stat_whatever_the_name_is() -> None:
    seen = Seen(7)
    parse_stat(stat_line(7, name="a) R (b c", state="D", ticks=5, start=9, rss=3, threads=4), seen)
    assert (seen.name, seen.state, seen.ticks, seen.start, seen.threads) == (b"a) R (b c", "D", 5, 9, 4)
    assert (seen.rss, seen.vms) == (3 * PAGE, 4_096_000)


@pytest.mark.parametrize("line", [b"", b"7 (x", b"7 (x) S 1"])
def test_a_line_cut_off_is_refused(line: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        parse_stat(line, Seen(7))


def test_what_was_there_before_us_used_its_time_before_us(proc: Proc, scan: LinuxScan) -> None:
    proc.put(1, ticks=500_000)
    assert used(scan, 10.0) == {1: 0.0}
    proc.put(1, ticks=500_000 + TICKS)
    assert used(scan, 12.0) == {1: 0.5}
    assert used(scan, 13.0) == {1: 0.0}


def test_what_began_since_the_last_scan_used_all_its_time_since(proc: Proc, scan: LinuxScan) -> None:
    proc.put(1)
    used(scan, 10.0)
    proc.put(2, ticks=TICKS)
    assert used(scan, 11.0) == {1: 0.0, 2: 1.0}


def test_a_number_given_to_another_process_does_not_inherit_its_past(proc: Proc) -> None:
    scan = LinuxScan(str(proc.path), budget=0)
    proc.put(5, ticks=900, start=100)
    used(scan, 10.0)
    proc.put(5, ticks=TICKS, start=7000, name="other")
    assert used(scan, 11.0) == {5: 1.0}
    assert [p.name for p in scan.processes(12.0)] == [b"other"]


def test_who_ends_is_forgotten(proc: Proc) -> None:
    scan = LinuxScan(str(proc.path), budget=0)
    proc.put(1)
    proc.put(2)
    assert set(used(scan, 1.0)) == {1, 2}
    proc.remove(2)
    assert set(used(scan, 2.0)) == {1}


def test_descriptors_stay_within_their_budget(proc: Proc) -> None:
    for pid in range(1, 9):
        proc.put(pid)
    before = descriptors()
    scan = LinuxScan(str(proc.path), budget=3)
    assert len(scan.processes(1.0)) == 8
    assert descriptors() == before + 3 + 1  # and loadavg
    for pid in range(1, 9):
        proc.remove(pid)
    assert len(scan.processes(20.0)) == 0
    assert descriptors() == before + 1


def test_a_quiet_process_is_read_in_turn_and_heard_when_it_moves(proc: Proc, scan: LinuxScan) -> None:
    proc.put(1)
    proc.put(2)
    now = 10.0
    for _ in range(QUIET_AFTER + 2):
        now += 1.0
        used(scan, now)
    proc.put(1, ticks=TICKS)
    found = []
    for _ in range(4):
        now += 1.0
        found.append(used(scan, now)[1])
    assert sum(1 for share in found if share) == 1, "heard within four seconds"
    # One second of a core, in the one to four seconds since it was read last.
    assert 0.25 <= max(found) <= 1.0
    proc.put(1, ticks=3 * TICKS)
    assert used(scan, now + 1.0)[1] >= 1.0, "then followed scan by scan"


def test_proc_is_listed_when_something_was_forked_and_now_and_then(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    listings = []
    scan = LinuxScan(str(proc.path))
    listed = scan._listed
    monkeypatch.setattr(scan, "_listed", lambda now: listings.append(now) or listed(now))  # type: ignore[func-returns-value]
    for now in (1.0, 2.0, 3.0):
        scan.processes(now)
    assert listings == [1.0]
    proc.forked()
    scan.processes(4.0)
    scan.processes(15.0)
    assert listings == [1.0, 4.0, 15.0]
    other = LinuxScan(str(proc.path), own_numbers=False)
    monkeypatch.setattr(other, "_listed", lambda now: listings.append(-now) or [])  # type: ignore[func-returns-value]
    other.processes(1.0)
    other.processes(2.0)
    assert listings[-2:] == [-1.0, -2.0], "the forks of another namespace go unseen, so it is listed every time"


def test_the_number_given_out_last() -> None:
    assert parse_last_pid(b"0.20 0.18 0.12 1/80 11206\n") == 11206


def test_counts_by_state() -> None:
    assert count_states("RSSSDTtZIIWXK?") == {
        "running": 1,
        "sleeping": 3,
        "disk_sleep": 1,
        "stopped": 2,
        "zombie": 1,
        "idle": 2,
        "other": 4,
    }


def _seen(pid: int, used: float, rss: int, start: int) -> Seen:
    seen = Seen(pid)
    seen.used, seen.rss, seen.start = used, rss, start
    return seen


def test_the_busiest_the_largest_and_the_newest_once_each() -> None:
    processes = [
        _seen(1, 0.5, 10, 90),
        _seen(2, 0.0, 99, 20),
        _seen(3, 0.9, 50, 30),
        _seen(4, 0.0, 1, 40),
        _seen(5, 0.1, 2, 50),
        _seen(6, 0.0, 1, 99),
    ]
    assert [p.pid for p in noteworthy(processes, 2)] == [3, 1, 2, 6]
    assert noteworthy(processes, 0) == []


@pytest.mark.parametrize(
    ("data", "arguments"),
    [
        (b"sleep\x0060\x00", ["sleep", "60"]),
        (b"nginx: worker process\0\0\0\0", ["nginx:", "worker", "process"]),
        (b"title without an end", ["title", "without", "an", "end"]),
        (b"a\0\0b\0", ["a", "", "b"]),
        (b"caf\xe9\0", ["caf\ufffd"]),
        (b"", []),
    ],
)
def test_command_lines(data: bytes, arguments: list[str]) -> None:
    assert parse_cmdline(data) == arguments


def test_a_long_command_line_is_shortened_in_all() -> None:
    short = shorten(["x" * 3000, "y" * 3000, "z"])
    assert sum(map(len, short)) == 4096
    assert short[1].endswith("…")
    assert len(short) == 2
    assert len(shorten([""] * 100_000)) == 4096


def test_a_title_that_continues_the_name_keeps_no_secret_in_it(tmp_path: Path, proc: Proc) -> None:
    seen = Seen(1)
    seen.name = b"background-work"
    proc.put(1, cmdline=b"background-worker --token=hunter2\0--fast\0")
    details = LinuxDetails(_host(tmp_path, proc), Redactor()).of(seen, 1.0, age=50)
    assert details.name == "background-worker --token=***"


def test_names_the_kernel_cut() -> None:
    assert full_name("gnome-terminal-", ["/usr/libexec/gnome-terminal-server"]) == "gnome-terminal-server"
    assert full_name("gnome-terminal-", ["/bin/other"]) == "gnome-terminal-"
    assert full_name("bash", ["/bin/bash-something"]) == "bash"


def test_users() -> None:
    assert parse_uid(b"Name:\tx\nUid:\t1000\t0\t0\t0\nGid:\t5\n") == 1000
    assert parse_uid(b"Name:\tx\n") is None
    assert parse_passwd("root:x:0:0::/root:/bin/sh\n# comment\nbob:x:1000:5:::\nalias:x:0:0\n") == {
        0: "root",
        1000: "bob",
    }


def _host(tmp_path: Path, proc: Proc) -> HostPaths:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("bob:x:1000:1000::/:\n")
    return HostPaths(str(tmp_path), str(proc.path), "/sys")


def test_details_are_kept_a_minute_unless_another_program_is_run(tmp_path: Path, proc: Proc) -> None:
    details = LinuxDetails(_host(tmp_path, proc), Redactor())
    seen = Seen(1)
    proc.put(1, cmdline=b"before\0--password\0hunter2\0")
    seen.name = b"before"
    assert details.of(seen, 100.0, age=50) == Details("before", ["before", "--password", "***"], "bob", b"before")
    proc.put(1, cmdline=b"after\0")
    assert details.of(seen, 101.0, age=51).cmdline[0] == "before"
    seen.name = b"after"
    assert details.of(seen, 102.0, age=52).cmdline == ["after"]
    proc.put(1, cmdline=b"later\0")
    assert details.of(seen, 102.0 + process_details.FRESH_FOR, age=112).cmdline == ["later"]


def test_a_process_just_forked_is_looked_at_again_soon(tmp_path: Path, proc: Proc) -> None:
    details = LinuxDetails(_host(tmp_path, proc), Redactor())
    seen = Seen(1)
    proc.put(1, cmdline=b"sh\0parent\0")
    seen.name = b"sh"
    details.of(seen, 100.0, age=0.1)
    proc.put(1, cmdline=b"sh\0child\0")
    assert details.of(seen, 106.0, age=6.1).cmdline == ["sh", "child"]


def test_a_process_that_ends_while_it_is_looked_at(tmp_path: Path, proc: Proc) -> None:
    seen = Seen(4711)
    seen.name = b"short"
    assert LinuxDetails(_host(tmp_path, proc), Redactor()).of(seen, 1.0, age=9) == Details("short", [], "", b"short")


def test_the_section(tmp_path: Path, proc: Proc) -> None:
    collector = ProcessesCollector(LinuxScan(str(proc.path)), LinuxDetails(_host(tmp_path, proc), Redactor()), top=1)
    proc.put(1, name="init", state="S", rss=500, cmdline=b"/sbin/init\0")
    proc.put(2, name="busy", state="R", threads=3, cmdline=b"busy\0")
    collector.collect(1.0)
    proc.put(2, name="busy", state="R", threads=3, ticks=2 * TICKS, cmdline=b"busy\0")
    section = collector.collect(2.0)
    assert {k: v for k, v in section.items() if k != "top"} == {"count": 2, "sleeping": 1, "running": 1, "threads": 4}
    busy, init = section["top"]
    assert (busy["pid"], busy["cpu_percent"], busy["status"]) == (2, 200.0, "running")
    assert (init["name"], init["memory_info"]["rss"], init["username"]) == ("init", 500 * PAGE, "bob")


def test_only_command_lines_that_must_be_read_may_wait(tmp_path: Path, proc: Proc) -> None:
    collector = ProcessesCollector(LinuxScan(str(proc.path)), LinuxDetails(_host(tmp_path, proc), Redactor()))
    proc.put(1, name="init", start=0, cmdline=b"/sbin/init\0")
    assert isinstance(collector.begin(100.0), Rest)
    first = collector.collect(100.0)
    assert collector.begin(101.0) == first
    proc.put(2, name="new", start=0, cmdline=b"new\0")
    assert isinstance(collector.begin(102.0), Rest)
    assert [p["name"] for p in collector.collect(102.0)["top"]] == ["init", "new"]
    proc.put(2, name="newer", start=0, cmdline=b"newer\0")
    assert isinstance(collector.begin(103.0), Rest), "it runs another program"


def test_a_thread_of_the_kernel_renames_itself_without_being_read_again(tmp_path: Path, proc: Proc) -> None:
    collector = ProcessesCollector(LinuxScan(str(proc.path)), LinuxDetails(_host(tmp_path, proc), Redactor()))
    proc.put(2, name="kworker/0:1-events", flags=0x00200000)
    collector.collect(100.0)
    proc.put(2, name="kworker/0:1-ext4-rsv-conversion", flags=0x00200000)
    section = collector.begin(101.0)
    assert [(p["name"], p["username"]) for p in section["top"]] == [("kworker/0:1-ext4-rsv-conversion", "bob")]


def test_what_is_soon_due_is_read_along(tmp_path: Path, proc: Proc) -> None:
    details = LinuxDetails(_host(tmp_path, proc), Redactor())
    seen = Seen(1)
    seen.name = b"x"
    proc.put(1, cmdline=b"x\0first\0")
    first = details.of(seen, 100.0, age=50)
    due = 100.0 + process_details.FRESH_FOR
    assert details.fresh(seen, due - 1) is first
    assert details.of(seen, due - 1, age=110) is first, "the same command line is not taken apart again"
    assert details.fresh(seen, due + 1) is first, "but it was looked at"
    proc.put(1, cmdline=b"x\0second\0")
    assert details.of(seen, due + process_details.FRESH_FOR - 2, age=170).cmdline == ["x", "second"]
