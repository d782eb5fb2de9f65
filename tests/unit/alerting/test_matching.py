"""What matchers mean, and those that nobody can understand."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.alerting.expressions import _compiled, is_whole, problem
from shared.alerting.matching import matches
from shared.schemas.control import Matcher


def means(pattern: str, value: str, *, is_equal: bool = True) -> bool:
    return matches([Matcher(name="host", value=pattern, is_regex=True, is_equal=is_equal)], {"host": value})


@pytest.mark.parametrize("pattern", ["(", "a{5000}", "(" * 500 + ")" * 500])
@pytest.mark.parametrize("is_equal", [True, False])
def test_an_expression_that_is_none_means_nothing(pattern: str, is_equal: bool) -> None:
    assert not means(pattern, "web1", is_equal=is_equal)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("web-.*", "web-", "my-web-1"),
        ("(web|db)-[0-9]+", "db-12", "db-"),
        ("(a+)+", "aa", "b"),
        (".*.*.*.*", "", "\n"),
        ("(?i)WEB", "web", "we"),
        (r"\p{Han}+\d", "主机1", "host1"),
        ("", "", "x"),
    ],
)
def test_an_expression_means_the_whole_value(pattern: str, yes: str, no: str) -> None:
    assert problem(pattern) == ""
    assert means(pattern, yes)
    assert not means(pattern, no)
    assert means(pattern, no, is_equal=False)


def test_half_a_character_is_no_expression_and_breaks_none() -> None:
    assert problem("\ud800")
    assert is_whole("\ud800", "a") is None
    assert is_whole(".", "\ud800") is True
    assert is_whole("a", "\ud800") is False


def test_parentheses_cost_nothing() -> None:
    """Of what is in them nothing is asked, and to remember it takes RE2 fifty times as long."""
    assert _compiled("((a*)*)*").groups == 0


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a)\1", "(?=a)b", "(?!a)b", "(?<=a)b", "(?P<n>a)(?P=n)", "(", "[", "*", "a{1001}", "a" * 513,
        "(" * 600, "([ab]{1000}){1000}", "((((a{0,9}){0,9}){0,9}){0,9}){0,9}",
        "(.{0,9}){0,99}",
    ],
)  # fmt: skip
def test_what_cannot_be_matched_in_time_is_no_expression(pattern: str) -> None:
    assert problem(pattern)


ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "(a|b)", "(ab|a)", "(a*)", "(a?b?)", "(a|a|b)", "(.*a)"])
PIECES = st.tuples(ATOMS, st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,3}", "{0,40}"])).map("".join)


@given(st.lists(PIECES, max_size=12).map("".join), st.text("ab", min_size=900, max_size=1000))
@settings(max_examples=100, deadline=None)
def test_what_is_taken_is_answered_in_a_bounded_number_of_steps(pattern: str, value: str) -> None:
    began = time.thread_time()
    if not problem(pattern):
        means(pattern, value + "!")
    assert time.thread_time() - began < 1, "its own processor time, however busy the machine is"
