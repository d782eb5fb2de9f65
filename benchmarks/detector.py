"""What judging a host sample costs: CPU microseconds an event, beside decoding the same event.

``python -m benchmarks.detector``
"""

from __future__ import annotations

import json
import random
import sys
import time
import tracemalloc
from collections.abc import Callable

from services.detector.detection import Detection
from services.detector.features import features
from services.detector.feedback import Opinions
from services.detector.judge import Host
from shared.runtime.settings import DetectorSettings
from shared.schemas.codec import Decoder
from shared.schemas.sample import HostSample
from tests.support.samples import T0, host_sample

EVENTS = 5000
HOSTS = 50
SETTINGS = DetectorSettings(warmup_seconds=0, max_hosts=HOSTS)


def main() -> None:
    rng = random.Random(0)
    lines = [json.dumps(_sample(rng, n)).encode() for n in range(EVENTS)]
    decoder = Decoder(HostSample)
    samples = [decoder.line(line) for line in lines]
    seen = [features(s) for s in samples]
    hosts = [Host(s.host_id, s.host, s.labels) for s in samples]
    detection = Detection(SETTINGS, Opinions())
    for n in range(-50 * HOSTS, 0):  # bands are dearer until they have settled
        detection.observe(hosts[n], T0 + (n // HOSTS) * 1000, seen[n])

    decode = _us(lambda n: decoder.line(lines[n]))
    table = {
        f"decode ({len(lines[0])} bytes)": decode,
        f"features ({len(seen[0])} metrics)": _us(lambda n: features(samples[n])),
        "score, learn, judge, find": _us(lambda n: detection.observe(hosts[n], samples[n].ts, seen[n], samples[n])),
    }
    table["all of it"] = sum(table.values())
    print(f"{'':28} {'us/event':>9} {'x decode':>9}")
    for name, us in table.items():
        print(f"{name:28} {us:>9.1f} {us / decode:>9.1f}")
    print(f"{'memory a host':28} {_memory(samples, seen) / 1024:>8.1f}k")


def _us(work: Callable[[int], object]) -> float:
    began = time.process_time()
    for n in range(EVENTS):
        work(n)
    return (time.process_time() - began) / EVENTS * 1e6


def _memory(samples: list[HostSample], seen: list[dict[str, float]]) -> float:
    tracemalloc.start()
    detection = Detection(SETTINGS, Opinions())
    for sample, values in zip(samples, seen, strict=True):
        detection.observe(Host(sample.host_id, "", {}), sample.ts, values, sample)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / HOSTS


def _sample(rng: random.Random, number: int) -> dict[str, object]:
    host = f"host-{number % HOSTS}"
    return host_sample(
        host_id=host,
        event_id=f"{host}-{number}",
        ts=T0 + number // HOSTS * 1000,
        cpu={"percent": rng.uniform(0, 20)},
        load={"load1": rng.uniform(0, 2)},
        memory={"percent": 40 + rng.gauss(0, 0.2)},
    )


if __name__ == "__main__":
    sys.exit(main())
