"""Pydantic without its search for plugins: for that it reads the metadata of every installed package, and so brings
along a parser of mails, one of CSV and one of ZIP. 2 MB of each process and a part of each start; import this before
the first model.
"""

from __future__ import annotations

import sys
from types import ModuleType

_LOADER = "pydantic.plugin._loader"


class _NoPlugins(ModuleType):
    @staticmethod
    def get_plugins() -> tuple[()]:
        return ()


sys.modules.setdefault(_LOADER, _NoPlugins(_LOADER))
