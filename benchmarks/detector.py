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

from services.detector.bank import Bank, Verdict
from services.detector.features import features
from services.detector.judge import Host, Judge
from shared.schemas.codec import Decoder
from shared.schemas.sample import HostSample
from tests.support.samples import T0, host_sample

EVENTS = 5000
HOSTS = 50


def main() -> None:
    rng = random.Random(0)
    lines = [json.dumps(_sample(rng, n)).encode() for n in range(EVENTS)]
    decoder = Decoder(HostSample)
    samples = [decoder.line(line) for line in lines]
    seen = [features(s) for s in samples]
    bank = Bank(warmup_seconds=0, max_hosts=HOSTS)
    for n in range(-50 * HOSTS, 0):  # bands are dearer until they have settled
        bank.score(f"host-{n % HOSTS}", T0 + (n // HOSTS) * 1000, seen[n])
    judge = Judge(threshold=1, open_after=5, close_after=30)
    hosts = [Host(s.host_id, s.host, s.labels) for s in samples]
    verdicts: list[Verdict] = []

    def score(n: int) -> None:
        verdict = bank.score(samples[n].host_id, samples[n].ts, seen[n])
        assert verdict
        verdicts.append(verdict)

    decode = _us(lambda n: decoder.line(lines[n]))
    table = {
        f"decode ({len(lines[0])} bytes)": decode,
        f"features ({len(seen[0])} metrics)": _us(lambda n: features(samples[n])),
        "score + learn": _us(score),
        "judge": _us(lambda n: judge.step(hosts[n], samples[n].ts, verdicts[n], seen[n])),
    }
    table["all of it"] = sum(table.values())
    print(f"{'':28} {'us/event':>9} {'x decode':>9}")
    for name, us in table.items():
        print(f"{name:28} {us:>9.1f} {us / decode:>9.1f}")
    print(f"{'memory a host':28} {_memory(seen) / 1024:>8.1f}k")


def _us(work: Callable[[int], object]) -> float:
    began = time.process_time()
    for n in range(EVENTS):
        work(n)
    return (time.process_time() - began) / EVENTS * 1e6


def _memory(seen: list[dict[str, float]]) -> float:
    tracemalloc.start()
    bank = Bank(warmup_seconds=0, max_hosts=HOSTS)
    for n, values in enumerate(seen):
        bank.score(str(n % HOSTS), T0 + n * 1000, values)
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
