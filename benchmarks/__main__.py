"""Runs every benchmark, or those named, at its usual size: ``python -m benchmarks [detector findings api …]``."""

from __future__ import annotations

import importlib
import sys

ALL = (
    *("detector", "detection.cost", "findings", "alerter", "training", "api", "stream", "ingest"),
    *("throughput", "product", "paging", "agent"),
)
"""``scenarios`` needs the evaluation rig."""


def main() -> None:
    for name in sys.argv[1:] or ALL:
        print(f"\n## {name}\n", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
