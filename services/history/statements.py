"""The SQL files of ``sql/``. Values are bound by the server; only names from ``shared.store.tables`` are put in."""

from __future__ import annotations

from functools import cache
from importlib import resources
from string import Template


@cache
def statement(name: str, **names: str) -> str:
    return Template(resources.files("services.history").joinpath("sql", f"{name}.sql").read_text()).substitute(names)
