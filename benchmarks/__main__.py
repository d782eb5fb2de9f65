"""Runs every benchmark, or those named: ``python -m benchmarks [detector findings training api …]``."""

from __future__ import annotations

import importlib
import sys

ALL = ("detector", "findings", "alerter", "training", "api", "ingest", "throughput", "product", "paging", "agent")


def main() -> None:
    for name in sys.argv[1:] or ALL:
        print(f"\n## {name}\n", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
