"""The SQL files of ``sql/``. Values are bound by the server; only names from ``shared.store.tables`` are put in."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from string import Template


@lru_cache(maxsize=512)
def statement(name: str, **names: str) -> str:
    """The text of ``sql/<name>.sql`` with its ``$names`` filled in."""
    text = resources.files("services.api").joinpath("sql", f"{name}.sql").read_text()
    return Template(text).substitute(names)
