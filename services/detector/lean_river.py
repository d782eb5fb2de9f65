"""River without what it brings along wherever it is installed: scikit-learn, and with that pandas and pyarrow, for a
helper that nobody here calls. 70 MB and half a second of each start; import this before anything of River.
"""

from __future__ import annotations

import sys

NOT_NEEDED = "sklearn"

if "river" not in sys.modules and NOT_NEEDED not in sys.modules:
    sys.modules[NOT_NEEDED] = None  # type: ignore[assignment]  # it cannot be imported meanwhile
    try:
        import river.anomaly
        import river.stats  # noqa: F401
    finally:
        del sys.modules[NOT_NEEDED]
