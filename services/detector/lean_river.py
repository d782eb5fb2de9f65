"""The two models of River that are used here, without the packages they are in: each of those loads all its siblings,
and with them SciPy, and scikit-learn, pandas and pyarrow where they are installed.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import river

__all__ = ["EWMean", "HalfSpaceTrees"]

_PACKAGES = ("river.anomaly", "river.stats", "river.tree", "river.utils")


def _load() -> tuple[type, type]:
    """Whoever wants one of the packages as well can have it, before and after."""
    shells = {name: _shell(name) for name in _PACKAGES if name not in sys.modules}
    sys.modules.update(shells)
    try:
        trees = importlib.import_module("river.anomaly.hst")
        importlib.import_module("river.stats.base")
        mean = importlib.import_module("river.stats.ewmean")
    finally:
        for name in shells:
            del sys.modules[name]
    return trees.HalfSpaceTrees, mean.EWMean


def _shell(name: str) -> ModuleType:
    """A package with nothing in it but the way to its modules."""
    shell = ModuleType(name)
    shell.__path__ = [str(Path(river.__path__[0]) / name.partition(".")[2])]
    return shell


if TYPE_CHECKING:
    from river.anomaly.hst import HalfSpaceTrees
    from river.stats.ewmean import EWMean
else:
    HalfSpaceTrees, EWMean = _load()
