"""River without what it brings along for parts of it that nobody here uses: scikit-learn where that is installed, and
with it pandas and pyarrow, and half of SciPy. 110 MB and more than a second of each start; import this before anything
of River.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

NOT_INSTALLED = "sklearn"
NOT_USED = ("scipy.stats", "scipy.ndimage", "scipy.integrate")


class _Absent(ModuleType):
    """Has whatever is imported from it, and none of it can be used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Absent(f"{self.__name__}.{name}")

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise ImportError(f"{self.__name__} was left out when River was loaded (services/detector/lean_river.py)")


def _load() -> None:
    stand_ins: dict[str, ModuleType | None] = {NOT_INSTALLED: None} | {name: _Absent(name) for name in NOT_USED}
    if "river" in sys.modules or stand_ins.keys() & sys.modules.keys():
        return
    sys.modules.update(stand_ins)  # type: ignore[arg-type]  # None is what cannot be imported
    try:
        import river.anomaly
        import river.stats  # noqa: F401
    finally:
        for name in stand_ins:
            del sys.modules[name]


_load()
