"""What the core costs: CPU microseconds an event of 38 metrics, mean and p99, and the size of its state.

``OMP_NUM_THREADS=1 python -m benchmarks.detection.cost [events]``
"""

from __future__ import annotations

import random
import sys
import time

from services.detector.core import HostCore

METRICS = 38


def main(events: int = 12_000) -> None:
    """Over a week at one a minute: every renewal of the eigenvectors is in it."""
    rng, core = random.Random(0), HostCore()
    rows = [{f"m{i}": rng.gauss(50, 1) for i in range(METRICS)} for _ in range(500)]
    took = []
    for n in range(events):
        began = time.process_time_ns()
        core.observe(1_760_000_000_000 + n * 60_000, rows[n % len(rows)])
        took.append((time.process_time_ns() - began) / 1000)
    took.sort()
    print(f"mean {sum(took) / events:.0f}  p50 {took[events // 2]:.0f}  p99 {took[events * 99 // 100]:.0f} us an event")
    print(f"state {len(core.state()) / 1024:.0f}k")


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
