"""A page is for what beats what was paged before, within a budget."""

from __future__ import annotations

from services.detector.core import CoreConfig
from services.detector.core.config import DAY, HOUR, MINUTE
from services.detector.core.paging import Paging


def pager(budget: float = 7) -> Paging:
    return Paging(CoreConfig(page_budget_per_week=budget))


def test_a_fault_that_lasts_is_paged_once() -> None:
    paging = pager()
    assert [paging.decide(MINUTE, 3.0) for _ in range(60)] == [True] + [False] * 59


def test_what_is_worse_is_paged_again_at_once_and_the_same_after_some_hours() -> None:
    paging = pager()
    assert paging.decide(MINUTE, 2.0)
    assert not paging.decide(MINUTE, 2.3)
    assert paging.decide(MINUTE, 4.0)
    assert not paging.decide(HOUR, 4.0)
    assert paging.decide(3 * HOUR, 4.0)


def test_what_is_normal_is_never_paged() -> None:
    paging = pager(1000)
    assert not any(paging.decide(DAY, 1.0) for _ in range(100))


def test_a_host_that_is_never_at_rest_keeps_to_its_budget() -> None:
    """A fault of another size every hour for eight weeks, and the budget of each of the last four."""
    for budget in (1, 10):
        paging = pager(budget)
        pages = [paging.decide(HOUR, 2.0 + n * 7 % 11) for n in range(8 * 7 * 24)]
        assert 0.5 * budget <= sum(pages[len(pages) // 2 :]) / 4 <= 1.5 * budget


def test_quiet_time_gives_the_budget_back() -> None:
    paging = pager(10)
    while paging.threshold < 2.0:
        paging.decide(DAY / 24, 30.0)
    assert not paging.decide(DAY, 1.5)
    assert paging.decide(7 * DAY, 1.5)
