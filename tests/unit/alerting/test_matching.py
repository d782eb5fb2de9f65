"""Matchers that nobody can understand."""

from __future__ import annotations

import pytest

from shared.alerting.matching import matches
from shared.schemas.control import Matcher


@pytest.mark.parametrize("pattern", ["(", "a{99999999999}", "(" * 500 + ")" * 500])
@pytest.mark.parametrize("is_equal", [True, False])
def test_an_expression_that_is_none_means_nothing(pattern: str, is_equal: bool) -> None:
    assert not matches([Matcher(name="host", value=pattern, is_regex=True, is_equal=is_equal)], {"host": "web1"})
