"""``lapwing replay``: what another configuration of the detector would have said, before it is trusted."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.history import span
from services.history.span import Span
from services.replay.compare import Comparison, a_week, by_finding, compare
from shared.runtime import settings as settings_module
from shared.runtime import times
from shared.runtime.arguments import command
from shared.runtime.clock import SystemClock
from shared.runtime.settings import Settings, SettingsError

if TYPE_CHECKING:
    from services.detector.detection import Detection
    from services.detector.feedback import Opinions
    from services.detector.judge import Host
    from services.replay.run import Episode, Run
    from shared.store.port import Store

LEAD = "6h"
"""All models speak after that; what is usual at which hour, they know after a day."""
_DETECTOR = f"{settings_module.PREFIX}DETECTOR__"
_DAY_MS = 86_400_000
_SEVERITIES = ("critical", "warning", "info")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for one."""
_LEAST_DAYS = 0.5
"""Of a host: less says nothing about a week."""
_COLUMNS = ("change", "host_id", "host", "started_at", "ended_at", "finding", "severity", "peak_score", "summary")


def register(commands: Any) -> None:
    replay = command(
        commands,
        "replay",
        "run stored history through the detector, as it is and as another configuration would have it",
        "lapwing replay --from now-7d --config new.yaml",
        _replay,
    )
    span.add_to(replay, required=True)
    replay.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="a settings file whose `detector:` is compared with what is in force; without it, what is in force is "
        "compared with what was said at the time",
    )
    replay.add_argument(
        "--lead",
        metavar="DURATION",
        type=_duration,
        default=LEAD,
        help=f"how much is read ahead of --from, to learn from and not to be counted (default: {LEAD})",
    )
    replay.add_argument("--csv", metavar="FILE", type=Path, help="also write every anomaly there")


def _duration(text: str) -> int:
    try:
        return times.duration(text) * 1000
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; 30m, 6h, 2d") from None


@dataclass(frozen=True)
class Outcome:
    comparison: Comparison
    hosts: int
    samples: int
    host_days: float
    seconds: float


def _replay(settings: Settings, arguments: argparse.Namespace) -> int:
    wish = span.span_of(arguments, round(time.time() * 1000))
    other = _other(arguments.config) if arguments.config else None
    outcome = asyncio.run(_compared(settings, other, wish, arguments.lead))
    names = ("in force", arguments.config.name) if arguments.config else ("as told", "in force")
    print(report(outcome, *names))
    if arguments.csv:
        _write(arguments.csv, outcome.comparison)
    return 0


def _other(file: Path) -> Settings:
    """What is in force, with the file's own settings for the detector, which the environment must not hide."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_DETECTOR)}
    return settings_module.load(kept | {f"{settings_module.PREFIX}CONFIG": str(file)})


async def _compared(settings: Settings, other: Settings | None, wish: Span, lead_ms: int) -> Outcome:
    """Raises ``StoreError``."""
    from services.history.stored import hosts_meant
    from services.replay.run import Run
    from shared.store.clickhouse import open_store

    store = await open_store(settings, "replay")
    try:
        opinions = await _opinions(store)
        runs = [Run(_detection(s, opinions), wish.start_ms) for s in (settings, other) if s is not None]
        watched = await hosts_meant(store, wish.hosts)
        lead = max(lead_ms, *(round(s.detector.warmup_seconds * 1000) for s in (settings, other) if s))
        began = time.monotonic()
        samples, host_days = await _run(store, runs, watched, wish, lead)
        after = runs[-1].episodes
        before = runs[0].episodes if other else await _told(store, wish, {h.host_id for h in watched})
        return Outcome(compare(before, after), len(watched), samples, host_days, time.monotonic() - began)
    finally:
        await store.close()


def _detection(settings: Settings, opinions: Opinions) -> Detection:
    """As the service makes it."""
    from services.detector.detection import Detection
    from shared.models.channels import Channels
    from shared.models.registry import models_dir

    frozen = Channels(models_dir(settings.data_dir), SystemClock(), settings.detector.max_hosts)
    return Detection(settings.detector, opinions, frozen.score)


async def _run(store: Store, runs: Sequence[Run], watched: Sequence[Host], wish: Span, lead: int) -> tuple[int, float]:
    """How many samples there were, and over how many days of hosts that have any."""
    from services.history.samples import samples

    taken = 0
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    start = max(0, wish.start_ms - lead)
    show = _Progress(wish.end_ms - start)
    async for piece in samples(store, watched, start, wish.end_ms):
        for run in runs:
            run.take(piece)
        taken += len(piece)
        for sample in piece:
            if sample.ts >= wish.start_ms:
                first.setdefault(sample.host_id, sample.ts)
                last[sample.host_id] = sample.ts
        if piece:
            show(piece[-1].ts - start, times.iso(piece[-1].ts // 1000 * 1000))
    show.end()
    return taken, sum(last[host] - first[host] for host in first) / _DAY_MS


async def _opinions(store: Store) -> Opinions:
    from services.detector.feedback import Opinions
    from services.history.said import said

    opinions = Opinions()
    for event in await said(store):
        opinions.take(event)
    return opinions


async def _told(store: Store, wish: Span, host_ids: set[str]) -> list[Episode]:
    from services.replay.run import Episode
    from services.replay.statements import statement

    rows = await store.query(statement("told"), {"from": wish.start_ms, "to": wish.end_ms})
    return [Episode(*row) for row in rows if row[0] in host_ids]


class _Progress:
    """A line on a terminal; nothing elsewhere."""

    def __init__(self, whole: int) -> None:
        self._whole = max(1, whole)
        self._shown = sys.stderr.isatty()
        self._last = -1

    def __call__(self, done: int, what: str) -> None:
        percent = min(100, 100 * done // self._whole)
        if self._shown and percent != self._last:
            self._last = percent
            bar = "#" * (percent // 4)
            print(f"\r{bar:<25} {percent:3} %  {what[:40]:<40}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._shown:
            print(f"\r{'':<75}\r", end="", file=sys.stderr, flush=True)


def report(outcome: Outcome, before: str, after: str) -> str:
    """What a person reads."""
    compared, days = outcome.comparison, outcome.host_days
    lines = [
        f"{outcome.samples} samples of {outcome.hosts} host(s), {days:.2f} host-days, in {outcome.seconds:.1f} s",
        "",
        f"{'':<26}{before[:18]:>20}{after[:18]:>20}",
        _row("anomalies", len(compared.before), len(compared.after)),
    ]
    for severity in _SEVERITIES:
        counts = [sum(e.severity == severity for e in side) for side in (compared.before, compared.after)]
        lines.append(_row(f"  {severity}", *counts))
    for name, least in (("pages a host and week", ("critical", "warning")), ("anomalies a host and week", _SEVERITIES)):
        some = [[e for e in side if e.severity in least] for side in (compared.before, compared.after)]
        lines.append(_row(name, *(f"{a_week(side, days):.1f}" if days >= _LEAST_DAYS else "-" for side in some)))
    lines += [_row("gained", "", len(compared.gained)), _row("lost", "", len(compared.lost))]
    if kinds := by_finding(compared):
        lines += ["", f"{'':<26}{before[:18]:>20}{after[:18]:>20}{'gained':>10}{'lost':>10}"]
        lines += [f"{kind:<26}{b:>20}{a:>20}{g:>10}{gone:>10}" for kind, (b, a, g, gone) in kinds.items()]
    for name, episodes in (("gained", compared.gained), ("lost", compared.lost)):
        lines += ["", f"{name}:", *map(_line, episodes)] if episodes else []
    return "\n".join(lines)


def _row(name: str, before: object, after: object) -> str:
    return f"{name:<26}{before!s:>20}{after!s:>20}"


def _line(episode: Episode) -> str:
    lasted = "still open" if episode.ended_ms is None else f"{(episode.ended_ms - episode.started_ms) / 1000:.0f} s"
    return (
        f"  {times.iso(episode.started_ms)}  {lasted:>10}  {episode.severity:<8}  {episode.peak_score:5.2f}  "
        f"{episode.summary or episode.finding}"
    )


def _write(file: Path, compared: Comparison) -> None:
    import csv

    try:
        with file.open("w", newline="", encoding="utf-8") as out:
            table = csv.writer(out)
            table.writerow(_COLUMNS)
            for change in ("kept", "gained", "lost"):
                for e in getattr(compared, change):
                    ended = "" if e.ended_ms is None else times.iso(e.ended_ms)
                    started = times.iso(e.started_ms)
                    row = (change, e.host_id, e.host, started, ended, e.finding, e.severity, e.peak_score, e.summary)
                    table.writerow(["'" + v if isinstance(v, str) and v.startswith(_FORMULA) else v for v in row])
    except OSError as error:
        raise SettingsError(f"--csv: cannot write {str(file)!r}: {error.strerror}") from None
