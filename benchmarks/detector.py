"""What the shipped detector costs: CPU microseconds an event, mean and 99th percentile, and memory a host; with the
named findings and without, beside ingest's gate and decoding on the same events, in one run.

``OMP_NUM_THREADS=1 python -m benchmarks.detector [hosts] [seconds]``. Events are of the made-up fleet, one a second and
host; the first half of them is what the models settle on, and not measured.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.fleet import fleet
from services.detector.detection import Detection
from services.detector.features import features
from services.detector.feedback import Opinions
from services.ingest.gate import Gate
from shared.bus.port import Message
from shared.runtime.settings import DetectorSettings
from shared.schemas.base import DAY_MS
from shared.schemas.codec import Decoder
from shared.schemas.sample import HostSample
from shared.schemas.topics import METRICS
from tests.support.samples import T0

LATE = 0.99
TRACED = 4
"""Hosts whose memory is traced, which is slow."""


class _NoFindings:
    def observe(self, _: HostSample) -> tuple[()]:
        return ()


def main(hosts: int = 20, seconds: int = 600) -> None:
    lines = list(fleet(hosts, seconds, T0))
    messages = [Message(METRICS.name, 0, n, b"h", line, 0) for n, line in enumerate(lines)]
    decoder = Decoder(HostSample)
    samples: list[Any] = [decoder.line(line) for line in lines]
    settled = len(lines) // 2
    gate = Gate((HostSample,), HostSample, max_future_ms=DAY_MS, max_age_ms=DAY_MS)
    without, with_findings = _detection(hosts, findings=False), _detection(hosts, findings=True)
    for sample in samples[:settled]:
        without.observe(sample)
        with_findings.observe(sample)

    print(f"{f'{len(lines) - settled} events of {hosts} hosts':34} {'us/event':>9} {'p99':>8} {'x gate':>7}")
    (calibration,) = _us(messages[settled:], lambda message: gate.sort([message], T0))
    (decoding,) = _us(lines[settled:], decoder.line)
    (looking,) = _us(samples[settled:], features)
    judging = _us(samples[settled:], without.observe, with_findings.observe)
    for name, (mean, late) in (
        (f"gate ({sum(map(len, lines)) // len(lines)} bytes)", calibration),
        ("decode", decoding),
        (f"features ({len(features(samples[0]))} metrics)", looking),
        *zip(("all of it but the findings", "all of it"), judging, strict=True),
    ):
        print(f"{name:34} {mean:>9.1f} {late:>8.0f} {mean / calibration[0]:>7.1f}")
    some = [sample for n, sample in enumerate(samples) if n % hosts < TRACED]
    for name, findings in (("but the findings", False), ("", True)):
        print(
            f"{f'memory a host, all {name}'.rstrip():34} {_memory(some, findings=findings) / 1024:>8.1f}k", flush=True
        )
    print(f"{'its state, saved':34} {len(with_findings.state(samples[0].host_id) or b'') / 1024:>8.1f}k")


def _detection(hosts: int, *, findings: bool) -> Detection:
    detection = Detection(DetectorSettings(warmup_seconds=0, max_hosts=hosts), Opinions())
    if not findings:
        detection._findings = _NoFindings()  # type: ignore[assignment]
    return detection


def _us(things: Iterable[Any], *works: Callable[[Any], object]) -> list[tuple[float, float]]:
    """Mean and 99th percentile of each, done by turns, so that whatever else the machine does happens to all alike."""
    took: list[list[float]] = [[] for _ in works]
    for thing in things:
        for times, work in zip(took, works, strict=True):
            began = time.process_time_ns()
            work(thing)
            times.append((time.process_time_ns() - began) / 1000)
    return [(sum(times) / len(times), sorted(times)[int(len(times) * LATE)]) for times in took]


def _memory(samples: Sequence[HostSample], *, findings: bool) -> float:
    tracemalloc.start()
    detection = _detection(TRACED, findings=findings)
    for sample in samples:
        detection.observe(sample)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / len({sample.host_id for sample in samples})


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
