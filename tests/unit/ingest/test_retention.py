"""The size cap: what goes first, and what never goes."""

from __future__ import annotations

from datetime import date

import pytest

from services.ingest.retention import Partition, newest_day, to_drop

TODAY = date(2026, 11, 21)


def day(table: str, d: int, size: int) -> Partition:
    return Partition(table, f"202611{d:02}", date(2026, 11, d), size)


def test_under_the_cap_nothing_goes() -> None:
    assert to_drop([day("samples", 1, 50), day("samples", 2, 50)], 100, TODAY) == []


def test_the_oldest_go_first_whatever_table_they_are_in_and_only_as_many_as_needed() -> None:
    oldest, older, old = day("logs", 1, 10), day("samples", 2, 10), day("logs", 3, 10)
    assert to_drop([old, oldest, day("samples", 4, 10), older], 25, TODAY) == [oldest, older]


def test_of_one_day_the_largest_goes_first() -> None:
    large, small = day("network", 1, 100), day("disks", 1, 1)
    assert to_drop([small, large], 1, TODAY) == [large]


def test_what_today_is_written_to_never_goes() -> None:
    month = Partition("anomalies", "202611", date(2026, 11, 30), 1000)
    assert to_drop([day("samples", 21, 1000), month, day("samples", 20, 5)], 10, TODAY) == [day("samples", 20, 5)]


def test_what_is_not_by_time_never_goes() -> None:
    assert to_drop([Partition("users", "all", None, 1000)], 10, TODAY) == []


@pytest.mark.parametrize(
    ("name", "newest"),
    [
        ("2026-11-21", date(2026, 11, 21)),
        ("20261121", date(2026, 11, 21)),
        ("202602", date(2026, 2, 28)),
        ("tuple()", None),
        ("all", None),
        ("20261399", None),
    ],
)
def test_a_partition_tells_its_newest_day_by_its_name(name: str, newest: date | None) -> None:
    assert newest_day(name) == newest
