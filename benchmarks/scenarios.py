"""What the detector, and the named findings alone, say of the rig's synthetic faults: found in time, and false ones.

``DETECTION=../shared/detection python -m benchmarks.scenarios [first seed] [end]``. A host of 14 metrics sends an event
a minute; its numbers are put into samples as an agent would send them (4 cores, 16 GiB, a disk of 100 GB). What the rig
has and an agent has not (HTTP requests, connections, latency) is left out, and there are no processes by name.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from statistics import median
from typing import Any, cast

from services.detector.detection import Detection
from services.detector.feedback import Opinions
from services.detector.findings.bank import Findings
from shared.runtime.settings import DetectorSettings
from shared.schemas import sample as wire
from shared.schemas.anomaly import Anomaly
from shared.schemas.codec import twin
from shared.schemas.sample import HostSample
from tests.support.samples import GIB

AFTER_MS = 1_800_000
"""What opens so soon after a fault is neither found nor false, as in the rig."""
DAY_MS = 86_400_000
NAMES = {
    "cpu_overload": ("cpu_overload", "load_spike"),
    "memory_leak": ("memory_leak",),
    "disk_fill": ("disk_filling", "disk_full"),
    "net_spike": ("network_spike",),
    "net_drop": ("network_drop",),
    "load_spike": ("load_spike", "cpu_overload", "network_spike"),
    "crash": ("network_drop",),
    "flapping": ("flapping", "network_drop"),
}
"""What each kind of fault may rightly be called; a deployment has no name."""

_Sample, _Cpu, _Modes, _Load = twin(HostSample), twin(wire.Cpu), twin(wire.CpuModes), twin(wire.Load)
_Memory, _Swap, _Disk, _DiskIo = twin(wire.Memory), twin(wire.Swap), twin(wire.Disk), twin(wire.DiskIo)
_Card, _Processes = twin(wire.NetworkInterface), twin(wire.Processes)


@dataclass
class Tally:
    """``late``: minutes from a fault's beginning to the first word of it."""

    faults: int = 0
    named: int = 0
    in_time: int = 0
    false: int = 0
    false_pages: int = 0
    days: float = 0.0
    late: list[float] = field(default_factory=list)

    def add(self, kind: str, faults: Sequence[Fault], opened: Iterable[Anomaly], days: float, quiet: Quiet) -> None:
        self.faults += len(faults)
        self.days += days
        said = list(opened)
        for fault in faults:
            of_it = [a for a in said if fault.begin_ms <= a.ts <= fault.end_ms]
            if of_it:
                self.late.append((of_it[0].ts - fault.begin_ms) / 60_000)
            in_time = [a for a in of_it if a.ts <= fault.begin_ms + fault.within_ms]
            self.in_time += bool(in_time)
            self.named += any(a.finding in NAMES.get(kind, ()) for a in in_time)
        wrong = [a for a in said if not quiet(a.ts)]
        self.false += len(wrong)
        self.false_pages += sum(a.severity != "info" for a in wrong)

    def row(self, kind: str) -> str:
        per_day = [f"{n / self.days:.2f}" for n in (self.false, self.false_pages)]
        late = f"{median(self.late):.0f}" if self.late else "-"
        return f"| {kind} | {self.faults} | {self.in_time} | {self.named} | {late} | {per_day[0]} | {per_day[1]} |"


@dataclass(frozen=True)
class Fault:
    begin_ms: int
    end_ms: int
    within_ms: float


Quiet = Callable[[int], bool]


def main(first: int = 0, end: int = 2) -> int:
    place = os.environ.get("DETECTION", "../shared/detection")
    if not os.path.isdir(place):  # noqa: PTH112
        print(f"The evaluation rig is not in {place}. Say where: DETECTION=<folder>")
        return 1
    sys.path.insert(0, place)
    rig = importlib.import_module("scenarios")
    whole: dict[str, Tally] = defaultdict(Tally)
    alone: dict[str, Tally] = defaultdict(Tally)
    began, events = time.process_time(), 0
    for kind in rig.KINDS:
        for seed in range(first, end):
            samples, faults, days, quiet, scored_ms = _scenario(rig, kind, seed)
            detection = Detection(DetectorSettings(), Opinions())
            findings = Findings(max_hosts=1)
            told: list[Anomaly] = []
            named: list[Anomaly] = []
            for sample in samples:
                judged = detection.observe(sample)
                told += judged[1] if judged else []
                named += findings.observe(sample)
            events += len(samples)
            for tallies, said in ((whole, told), (alone, named)):
                opened = [a for a in _first_words(said) if a.ts >= scored_ms]
                for tally in (tallies[kind], tallies["all"]):
                    tally.add(kind, faults, opened, days, quiet)
    for title, tallies in (("The whole detector", whole), ("Named findings alone", alone)):
        print(f"\n{title}, seeds {first} to {end - 1}:\n")
        print("| kind | faults | in time | by its name | minutes | false a day | of them pages |")
        print("|---|---|---|---|---|---|---|")
        for kind, tally in tallies.items():
            if kind != "all":
                print(tally.row(kind))
        print(tallies["all"].row("all"))
    print(f"\n{events} events, {(time.process_time() - began) / events * 1e6:.0f} us of CPU each for both")
    return 0


def _first_words(said: Sequence[Anomaly]) -> Iterable[Anomaly]:
    """Openings, and the moments when an anomaly was given another name."""
    names: dict[str, str] = {}
    for anomaly in said:
        if anomaly.state != "close" and names.get(anomaly.anomaly_id) != anomaly.finding:
            yield anomaly
        names[anomaly.anomaly_id] = anomaly.finding


def _scenario(rig: Any, kind: str, seed: int) -> tuple[list[HostSample], list[Fault], float, Quiet, int]:
    times, rows, labels, meta = rig.make(kind, seed)
    stamps = [int(t.replace(tzinfo=UTC).timestamp() * 1000) for t in times]
    at = {name: n for n, name in enumerate(meta["metrics"])}
    samples = [_sample(ts, row, at) for ts, row in zip(stamps, rows, strict=True)]
    edges = [n for n in range(1, len(labels)) if labels[n] != labels[n - 1]] + [len(labels)]
    spans = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    faults = [
        Fault(stamps[a], stamps[b - 1], within * 1000) for (a, b), within in zip(spans, meta["within_s"], strict=True)
    ]
    ignored = {stamps[n] for n in range(len(stamps)) if meta["ignore"][n]}

    def quiet(ts: int) -> bool:
        return ts in ignored or any(f.begin_ms <= ts <= f.end_ms + AFTER_MS for f in faults)

    warm = meta["warm_rows"]
    return samples, faults, (stamps[-1] - stamps[warm]) / DAY_MS, quiet, stamps[warm]


def _sample(ts: int, row: Any, at: dict[str, int]) -> HostSample:
    """All sections in every sample; counters that nobody looks at are nothing."""
    v = {name: float(row[n]) for name, n in at.items()}
    total, disk = 16 * GIB, 100 * 10**9
    used, full = int(total * v["mem_used_pct"] / 100), int(disk * v["disk_used_pct"] / 100)
    busy = min(100.0, v["cpu_user"] + v["cpu_system"] + v["cpu_iowait"])
    modes = _Modes(user=v["cpu_user"], system=v["cpu_system"], iowait=v["cpu_iowait"])
    made: Any = _Sample(
        event_id=str(ts),
        ts=ts,
        host_id="host-1",
        host="host-1",
        cpu=_Cpu(count=4, percent=busy, modes=modes),
        load=_Load(load1=v["load1"], load5=v["load1"], load15=v["load1"]),
        memory=_Memory(total=total, available=total - used, used=used, free=total - used, percent=v["mem_used_pct"]),
        swap=_Swap(
            total=4 * GIB, used=int(GIB * v["swap_used_pct"] / 25), free=4 * GIB, percent=min(100.0, v["swap_used_pct"])
        ),
        disks=[
            _Disk(
                device="/dev/sda1",
                mountpoint="/",
                fstype="ext4",
                total=disk,
                used=full,
                free=disk - full,
                percent=v["disk_used_pct"],
                inodes_total=1_000_000,
                inodes_used=100_000,
                inodes_percent=10.0,
            )
        ],
        disk_io=[_DiskIo(device="sda", utilization_percent=v["disk_util"])],
        network=[
            _Card(
                interface="eth0",
                bytes_sent=0,
                bytes_recv=0,
                packets_sent=0,
                packets_recv=0,
                sent_bytes_per_s=v["net_tx_kbs"] * 1000,
                recv_bytes_per_s=v["net_rx_kbs"] * 1000,
            )
        ],
        processes=_Processes(count=int(v["procs"])),
    )
    return cast(HostSample, made)


if __name__ == "__main__":
    sys.exit(main(*(int(a) for a in sys.argv[1:])))
