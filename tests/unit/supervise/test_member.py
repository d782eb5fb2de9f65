"""Members that are small programs: ready, dying, deaf."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.supervise.member import Member, MemberFailed, Together
from services.supervise.relay import Relay
from tests.support.waiting import eventually

READY = "from shared.runtime.readiness import tell_ready; tell_ready();"
FOREVER = f"import signal; {READY} signal.pause()"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {READY}\nwhile True: signal.pause()"

Make = Callable[..., Member]


@pytest.fixture
async def member() -> AsyncIterator[Make]:
    made: list[Member] = []
    relay = Relay(["one", "two"], "text", io.StringIO(), io.StringIO())

    def make(code: str, *arguments: str, name: str = "one", stop_within: float = 5.0, **more: Any) -> Member:
        command = [sys.executable, "-c", code, *arguments]
        made.append(Member(name, command, os.environ, relay, stop_within=stop_within, **more))
        return made[-1]

    yield make
    for it in made:
        await it.stop()


async def test_it_is_up_when_it_says_so(member: Make, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    code = f"import pathlib, signal, sys; pathlib.Path(sys.argv[1]).write_text('x'); {READY} signal.pause()"
    it = member(code, str(trace))
    await it.start()
    assert trace.read_text() == "x" and it.pid


async def test_killed_it_comes_back_as_another_process(member: Make) -> None:
    it = member(FOREVER)
    await it.start()
    first = it.pid
    assert first
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: it.pid not in (None, first))
    watching = asyncio.ensure_future(it.watch())
    await asyncio.wait({watching}, timeout=0.1)
    assert not watching.done(), "a death that was undone is no death"
    watching.cancel()


async def test_a_service_that_ends_by_itself_is_started_again_too(member: Make, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    code = f"import sys; open(sys.argv[1], 'a').write('x'); {READY}"
    it = member(code, str(trace))
    await it.start()
    await eventually(lambda: len(trace.read_text()) >= 2)


async def test_bad_input_is_not_tried_again(member: Make, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    it = member("import sys; open(sys.argv[1], 'a').write('x'); sys.exit(2)", str(trace))
    with pytest.raises(MemberFailed, match="one ended with status 2 before it was ready"):
        await it.start()
    assert trace.read_text() == "x"


async def test_what_never_gets_ready_is_given_up(member: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.supervise.member.ATTEMPTS", 2)
    with pytest.raises(MemberFailed, match="ended with status 1"):
        await member("import sys; sys.exit(1)").start()


async def test_stopping_asks_first_and_then_uses_force(member: Make) -> None:
    polite, deaf = member(FOREVER), member(DEAF, name="two", stop_within=0.2)
    both = Together([polite, deaf])
    await both.start()
    processes = [psutil.Process(it.pid or 0) for it in (polite, deaf)]
    await both.stop()
    assert [p.is_running() for p in processes] == [False, False]
    assert polite.pid is None and deaf.pid is None


async def test_a_stopped_process_does_not_keep_the_others_up(member: Make) -> None:
    it = member(FOREVER, stop_within=0.2)
    await it.start()
    assert it.pid
    process = psutil.Process(it.pid)
    process.suspend()
    await it.stop()
    assert not process.is_running()


async def test_who_hangs_is_ended_and_started_again(member: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.supervise.member.LOOK_EVERY", 0.05)
    silent = [0.0]
    it = member(FOREVER, silent=lambda: silent[0])
    await it.start()
    first = it.pid
    assert first
    psutil.Process(first).suspend()
    silent[0] = 61.0
    await eventually(lambda: it.pid not in (None, first))


async def test_silent_once_is_not_hanging(member: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.supervise.member.LOOK_EVERY", 0.01)
    answers = [61.0, 3.0, 61.0, 3.0, 61.0, None]
    it = member(FOREVER, silent=lambda: answers.pop(0) if answers else 0.0)
    await it.start()
    first = it.pid
    await eventually(lambda: not answers)
    assert it.pid == first


async def test_who_is_not_ready_may_wait_for_others_as_long_as_it_takes(
    member: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.supervise.member.LOOK_EVERY", 0.01)
    it = member(f"import time; time.sleep(0.5); {READY} time.sleep(60)", silent=lambda: 61.0)
    starting = asyncio.ensure_future(it.start())
    await eventually(lambda: it.pid)
    first = it.pid
    await starting
    assert it.pid == first
    await eventually(lambda: it.pid not in (None, first), that="ready, it is judged")


async def test_together_they_fail_with_the_name_of_who_failed(member: Make) -> None:
    with pytest.raises(MemberFailed, match="two ended with status 2"):
        await Together([member(FOREVER), member("import sys; sys.exit(2)", name="two")]).start()
