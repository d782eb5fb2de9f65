"""The SQL files of ``sql/``. Values are bound by the server."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def statement(name: str) -> str:
    return resources.files("services.replay").joinpath("sql", f"{name}.sql").read_text()
