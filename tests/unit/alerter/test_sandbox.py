"""Templates that people wrote: wrong, endless, greedy, curious."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.alerter.delivery.sandbox import Sandbox, TemplateFault, check


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    sandbox = Sandbox()
    yield sandbox
    await sandbox.close()


async def test_it_renders_what_it_is_given(sandbox: Sandbox) -> None:
    for name in ("web1", "{{ 7 * 7 }}", "\u2028<b>", "\U0001f426 \n"):
        assert await sandbox.render("{{ host }}!", {"host": name}) == name + "!"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ missing }}", "'missing' is undefined"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ x|nofilter }}", "nofilter"),
        ("{% include 'x' %}", "loader"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "without an end"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ x.append(1) }}", "unsafe"),
        ("{{ range(999999999) }}", "range"),
        ("{% for i in range(90000) %}{{ 'abcdefgh' }}{% endfor %}", "more than 262144 characters"),
        ("{{ 'x' * 9999999999 }}", "memory"),
        ("{{ 'x'|center(9999999999) }}", "memory"),
    ],
)
async def test_a_fault_is_said_in_words(sandbox: Sandbox, source: str, expected: str) -> None:
    with pytest.raises(TemplateFault, match=expected):
        await sandbox.render(source, {"x": [1]})
    assert await sandbox.render("still here", {}) == "still here"


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 9 ** (9 ** 9) }}",
    ],
)
async def test_what_has_no_end_is_ended(sandbox: Sandbox, source: str) -> None:
    with pytest.raises(TemplateFault, match="not done within 1 s"):
        await sandbox.render(source, {})
    assert await sandbox.render("still here", {}) == "still here"


async def test_one_that_is_cut_off_leaves_nothing_for_the_next(sandbox: Sandbox) -> None:
    await sandbox.render("warm", {})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await sandbox.render("{% for i in range(99999) %}{% for j in range(999) %}{% endfor %}{% endfor %}", {})
    assert await sandbox.render("mine", {}) == "mine"


async def test_several_at_once_get_their_own(sandbox: Sandbox) -> None:
    answers = await asyncio.gather(*(sandbox.render("{{ n }}", {"n": n}) for n in range(20)))
    assert answers == [str(n) for n in range(20)]


@pytest.mark.parametrize("source", ["{{ x", "{% if %}", "{% nonsense %}", "line\n{{ }}"])
def test_one_that_is_none_is_refused_beforehand(source: str) -> None:
    with pytest.raises(TemplateFault, match=r"line \d"):
        check(source)


def test_one_that_would_fail_later_is_not_carried_out() -> None:
    check("{{ 9 ** (9 ** 9) }}")


async def test_a_start_for_which_nobody_had_the_time_to_wait_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine every attempt would begin one, and none would ever render."""
    begun: list[object] = []
    exec_ = asyncio.create_subprocess_exec

    async def counted(*words: str, **more: Any) -> asyncio.subprocess.Process:
        begun.append(words)
        return await exec_(*words, **more)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", counted)
    sandbox = Sandbox()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await sandbox.render("too early", {})
    assert await sandbox.render("in time", {}) == "in time"
    assert len(begun) == 1
    await sandbox.close()
