"""What the whole embedded product costs: start, first data, and idling at one sample a second for one host.

``python -m benchmarks.product [seconds]`` prints a table. Targets: banner within 10 s, data within 5 s after it, under
5 % of a core and 450 MB while idle.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.support.product import Product


def main(seconds: float = 60, settle: float = 10) -> None:
    with tempfile.TemporaryDirectory() as folder:
        product = Product(Path(folder))
        _start(product, "first start (makes the schema)")
        product.stop()
        _start(product, "second start")
        try:
            _idle(product, seconds, settle)
        finally:
            started = time.perf_counter()
            product.stop()
            print(f"| Ctrl-C to exit | {time.perf_counter() - started:.2f} s |")


def _start(product: Product, what: str) -> None:
    began = time.perf_counter()
    product.start(within=300)  # how long it takes is what is asked
    banner = time.perf_counter()
    product.login()
    product.until("/api/system/monitor/", lambda data: data["cpu"]["cpu_count"] > 0)
    print(f"| {what}: to the banner | {banner - began:.2f} s |")
    print(f"| {what}: from the banner to data | {time.perf_counter() - banner:.2f} s |", flush=True)


def _idle(product: Product, seconds: float, settle: float) -> None:
    time.sleep(settle)  # the first seconds are not idle
    process = psutil.Process(product.pid)
    before, began = process.cpu_times(), time.perf_counter()
    time.sleep(seconds)
    after, took = process.cpu_times(), time.perf_counter() - began
    used = after.user + after.system - before.user - before.system
    print(f"| CPU over {took:.0f} idle seconds | {100 * used / took:.1f} % of a core |")
    print(f"| RSS | {process.memory_info().rss / 1e6:.0f} MB |", flush=True)


if __name__ == "__main__":
    main(*(float(a) for a in sys.argv[1:]))
