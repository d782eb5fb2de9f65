"""The SQL files of ``sql/``. Values are bound by the server; only names from ``shared.store.tables`` are put in."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from string import Template


@lru_cache(maxsize=512)
def statement(name: str, **names: str) -> str:
    """The text of ``sql/<name>.sql`` with its ``$names`` filled in, in one line: the client looks at each character of
    it, so comments and indentation would cost something with every question.
    """
    text = resources.files("services.api").joinpath("sql", f"{name}.sql").read_text()
    lines = (line.strip() for line in Template(text).substitute(names).splitlines())
    return " ".join(line for line in lines if line and not line.startswith("--"))
