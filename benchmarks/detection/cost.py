"""What the core costs: CPU microseconds an event of 38 metrics, mean and p99, and the size of its state.

``OMP_NUM_THREADS=1 python -m benchmarks.detection.cost``
"""

from __future__ import annotations

import random
import sys
import time

from services.detector.core import HostCore

METRICS = 38
EVENTS = 12_000
"""Over a week at one a minute: every renewal of the eigenvectors is in it."""


def main() -> None:
    rng, core = random.Random(0), HostCore()
    rows = [{f"m{i}": rng.gauss(50, 1) for i in range(METRICS)} for _ in range(500)]
    took = []
    for n in range(EVENTS):
        began = time.process_time_ns()
        core.observe(1_760_000_000_000 + n * 60_000, rows[n % len(rows)])
        took.append((time.process_time_ns() - began) / 1000)
    took.sort()
    print(f"mean {sum(took) / EVENTS:.0f}  p50 {took[EVENTS // 2]:.0f}  p99 {took[EVENTS * 99 // 100]:.0f} us an event")
    print(f"state {len(core.state()) / 1024:.0f}k")


if __name__ == "__main__":
    sys.exit(main())
