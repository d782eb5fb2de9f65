"""Started in order, watched, stopped in reverse order within a bound: whatever the parts do."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
import textwrap

import pytest

from shared.runtime.lifecycle import Runner, ServiceDied
from tests.support.waiting import eventually


class Part:
    """A service that writes down what happens to it."""

    def __init__(self, name: str, story: list[str]) -> None:
        self.name = name
        self.story = story
        self.death: asyncio.Future[None] | None = None

    async def start(self) -> None:
        self.death = asyncio.get_running_loop().create_future()
        self.story.append(f"{self.name} up")

    async def watch(self) -> None:
        assert self.death is not None
        await self.death

    async def stop(self) -> None:
        self.story.append(f"{self.name} down")


class Failing(Part):
    async def start(self) -> None:
        raise OSError("port 8000 is taken")


class Slow(Part):
    async def start(self) -> None:
        self.story.append(f"{self.name} starting")
        await asyncio.Event().wait()


class Stubborn(Part):
    """Neither starts, watches nor stops as asked, and swallows its cancellation."""

    def __init__(self, name: str, story: list[str], *where: str) -> None:
        super().__init__(name, story)
        self.where = where
        self.released = asyncio.Event()

    async def _hang(self) -> None:
        self.story.append(f"{self.name} hangs")
        while not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                continue

    async def start(self) -> None:
        await (self._hang() if "start" in self.where else super().start())

    async def watch(self) -> None:
        await (self._hang() if "watch" in self.where else super().watch())

    async def stop(self) -> None:
        await (self._hang() if "stop" in self.where else super().stop())


@pytest.fixture
def story() -> list[str]:
    return []


def started(runner: Runner) -> asyncio.Task[None]:
    return asyncio.create_task(runner.run(signals=False))


async def test_parts_start_in_order_and_stop_in_reverse(story: list[str]) -> None:
    runner = Runner([Part("a", story), Part("b", story), Part("c", story)], on_started=lambda: story.append("banner"))
    running = started(runner)
    await eventually(lambda: "banner" in story)
    assert story == ["a up", "b up", "c up", "banner"]
    runner.request_stop()
    await running
    assert story[4:] == ["c down", "b down", "a down"]


async def test_a_part_that_cannot_start_is_named_and_the_started_ones_are_stopped(story: list[str]) -> None:
    banner: list[str] = []
    runner = Runner(
        [Part("a", story), Failing("api", story), Part("c", story)], on_started=lambda: banner.append("banner")
    )
    with pytest.raises(ServiceDied, match=r"^api died: port 8000 is taken$") as died:
        await runner.run(signals=False)
    assert died.value.name == "api"
    assert isinstance(died.value.__cause__, OSError)
    assert story == ["a up", "api down", "a down"]
    assert banner == []


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (RuntimeError("out of hands"), "^b died: out of hands$"),
        (KeyError(), "^b died: KeyError$"),
        (asyncio.CancelledError(), "^b died: it was cancelled from inside$"),
        (None, "^b ended by itself$"),
    ],
)
async def test_a_part_that_dies_is_named_and_the_rest_stops(
    story: list[str], cause: BaseException | None, words: str
) -> None:
    parts = [Part("a", story), Part("b", story), Part("c", story)]
    running = started(Runner(parts))
    await eventually(lambda: len(story) == 3)
    death = parts[1].death
    assert death is not None
    if cause is None:
        death.set_result(None)
    elif isinstance(cause, asyncio.CancelledError):
        death.cancel()
    else:
        death.set_exception(cause)
    with pytest.raises(ServiceDied, match=words):
        await running
    assert story[3:] == ["c down", "b down", "a down"]


async def test_a_stop_during_the_start_is_a_clean_stop(story: list[str]) -> None:
    runner = Runner([Part("a", story), Slow("b", story), Part("c", story)])
    running = started(runner)
    await eventually(lambda: "b starting" in story)
    runner.request_stop()
    await running
    assert story == ["a up", "b starting", "b down", "a down"]


async def test_a_stop_before_the_start_starts_nothing(story: list[str]) -> None:
    runner = Runner([Part("a", story)])
    runner.request_stop()
    await runner.run(signals=False)
    assert story == []


@pytest.mark.parametrize("where", ["start", "watch", "stop"])
async def test_a_part_that_hangs_and_swallows_cancellation_keeps_nobody_up(
    story: list[str], where: str, caplog: pytest.LogCaptureFixture
) -> None:
    hanging = Stubborn("hanging", story, where)
    runner = Runner([Part("a", story), hanging], stop_within=0.3)
    running = started(runner)
    await eventually(lambda: "hanging hangs" in story or (where == "stop" and "hanging up" in story))
    runner.request_stop()
    async with asyncio.timeout(30):
        await running
    assert story[-1] == "a down"
    if where == "stop":
        assert [(r.message, r.service) for r in caplog.records] == [("did not stop in time", "hanging")]  # type: ignore[attr-defined]
    hanging.released.set()


@pytest.mark.parametrize("failure", [ValueError("stuck"), asyncio.CancelledError()])
async def test_a_part_that_fails_to_stop_is_told_and_the_others_stop(
    story: list[str], failure: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    class Clumsy(Part):
        async def stop(self) -> None:
            raise failure

    runner = Runner([Part("a", story), Clumsy("clumsy", story)])
    running = started(runner)
    await eventually(lambda: "clumsy up" in story)
    runner.request_stop()
    runner.request_stop()
    await running
    assert story[-1] == "a down"
    assert [r.message for r in caplog.records if r.levelno >= logging.ERROR] == ["failed to stop"]


async def test_a_death_while_stopping_is_no_death(story: list[str]) -> None:
    parts = [Part("a", story)]
    runner = Runner(parts)
    running = started(runner)
    await eventually(lambda: story)
    runner.request_stop()
    assert parts[0].death is not None
    parts[0].death.set_exception(RuntimeError("connection closed"))
    await running


async def test_cancelling_the_run_stops_the_parts_too(story: list[str]) -> None:
    running = started(Runner([Part("a", story)]))
    await eventually(lambda: story)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert story == ["a up", "a down"]


async def test_cancelling_the_run_during_the_start_ends_the_start(story: list[str]) -> None:
    class Counting(Slow):
        async def start(self) -> None:
            try:
                await super().start()
            finally:
                self.story.append("start ended")

    running = started(Runner([Counting("a", story)]))
    await eventually(lambda: "a starting" in story)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert story == ["a starting", "start ended", "a down"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_clean_stop_with_exit_status_0(number: int) -> None:
    program = f"""
        import asyncio, os
        from shared.runtime.lifecycle import Runner
        from tests.unit.runtime.test_lifecycle import Part
        story = []
        async def main():
            parts = [Part("a", story), Part("b", story)]
            await Runner(parts, on_started=lambda: os.kill(os.getpid(), {int(number)})).run()
        asyncio.run(main())
        print(story)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['a up', 'b up', 'b down', 'a down']"
    assert done.stderr == ""


@pytest.mark.parametrize("where", ["asyncio.to_thread(hang)", "loop.run_in_executor(pool, hang)"])
@pytest.mark.parametrize("dies", [False, True])
def test_a_thread_that_hangs_does_not_keep_the_process_up(where: str, dies: bool) -> None:
    program = f"""
        import asyncio, threading
        from concurrent.futures import ThreadPoolExecutor
        from shared.runtime.lifecycle import Runner
        from tests.unit.runtime.test_lifecycle import Part
        hang, pool, story = threading.Event().wait, ThreadPoolExecutor(1), []
        async def main():
            part = Part("a", story)
            runner = Runner([part], on_started=lambda: asyncio.create_task(go(part, runner)), leave_within=0.2)
            await runner.run()
        async def go(part, runner):
            loop = asyncio.get_running_loop()
            asyncio.ensure_future({where})
            if {dies}:
                part.death.set_exception(RuntimeError("enough"))
            else:
                runner.request_stop()
        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == (1 if dies else 0), done.stderr
