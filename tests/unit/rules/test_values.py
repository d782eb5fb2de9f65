"""Series in a line, as promtool writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rules.values import MOST, expand


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", []),
        ("5", [5]),
        ("5 -2 .5 1e3", [5, -2, 0.5, 1000]),
        ("10x2", [10, 10, 10]),
        ("10x0", [10]),
        ("1+2x3", [1, 3, 5, 7]),
        ("-2+4x3", [-2, 2, 6, 10]),
        ("1-0.5x2", [1, 0.5, 0]),
        ("_", [None]),
        ("_x3 7", [None, None, None, 7]),
        ("_x0", []),
    ],
)
def test_values(text: str, values: list[float | None]) -> None:
    assert expand(text) == values


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("five", "`five` is no value"),
        ("5x", "`5x` is no value"),
        ("5x-3", "`5x-3` is no value"),
        ("1+2", "`1+2` says how far, but not how often"),
        ("1x1000000", f"more than {MOST} values"),
        ("_x99999 1 1", f"more than {MOST} values"),
        ("1e999", "`1e999` goes beyond all numbers"),
        ("nan", "`nan` is no value"),
        ("٣", "is no value"),
    ],
)
def test_what_is_no_series_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match="^" + why.replace("+", r"\+") if why[0] == "`" else why):
        expand(text)


@given(st.text("0123456789x+-_. e", max_size=20))
def test_any_text_is_values_or_refused(text: str) -> None:
    try:
        assert len(expand(text)) <= MOST
    except ValueError as error:
        assert str(error)
