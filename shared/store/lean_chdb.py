"""chDB without pyarrow: where that is installed (it is, chDB asks for it) it is loaded, and needed for answers as Arrow
tables only, which nobody asks for. 45 MB; import this before anything of chDB.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, cast

Connect = Callable[[str], Any]


def _load() -> Connect:
    """Whoever wants pyarrow as well can have it, before and after."""
    left_out = "pyarrow" not in sys.modules
    if left_out:
        sys.modules["pyarrow"] = cast(Any, None)  # what cannot be imported
    try:
        from chdb.state import connect
    finally:
        if left_out:
            del sys.modules["pyarrow"]
    return cast(Connect, connect)


connect = _load()
