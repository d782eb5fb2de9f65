"""What training costs, and what the frozen models cost the detector: seconds a model, CPU microseconds an event.

``python -m benchmarks.training [rows] [events]``
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from services.train import frozen, made
from services.train.overload import MOST_ROWS, fitted
from services.train.shipped import generated
from services.train.stretch import METRICS, Stretch
from shared.models import registry
from shared.models.channels import Channels
from shared.models.frozen import frozen as built
from shared.models.overload import METHODS, OverloadModels
from shared.runtime.clock import ManualClock
from shared.schemas.metrics import BY_NAME

FEATURES = 38


def main(rows: int = 20_000, events: int = 5000) -> None:
    rng = np.random.default_rng(0)
    names = _names()
    table = rng.normal(20, 5, (rows, 4)) @ rng.uniform(0, 1, (4, FEATURES)) + rng.normal(0, 2, (rows, FEATURES))
    stretch = Stretch(names, np.arange(rows) * 1000, np.abs(table))
    card = made.card(
        "frozen", "h1", "frozen", features=names, rows=rows, span=None, parameters={}, scores={}, about={}, now_ms=0
    )
    for method in METHODS:
        data = generated(min(5 * rows, MOST_ROWS[method]))
        _told(f"fit + try {method} ({len(data.rows)} rows)", _seconds(partial(fitted, method, data)), "s")
    began = time.process_time()
    fit = frozen.made(stretch, card)
    _told(f"fit + try frozen ({rows} rows, {FEATURES} metrics)", time.process_time() - began, "s")
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        kept = registry.add(directory, card, fit.arrays, use=True)
        _told("frozen model on disk", kept.size / 1024, "kB")
        _told("read it", _seconds(lambda: built(*registry.load(directory, "frozen", "h1", 1))) * 1e3, "ms")
        channels = Channels(directory, ManualClock())
        seen = [dict(zip(names, row, strict=True)) for row in stretch.rows[:events].tolist()]
        _told("score an event", _each(lambda n: channels.score("h1", n * 1000, seen[n]), events), "us")
        _told(
            "score an event of a host without a model",
            _each(lambda n: channels.score("h2", n * 1000, seen[n]), events),
            "us",
        )
        model = built(*registry.load(directory, "frozen", "h1", 1))
        z = model.scaler(stretch.rows[0])
        _told("  of it: scaling", _each(lambda n: model.scaler(stretch.rows[n]), events), "us")
        _told("  of it: isolation forest", _each(lambda n: model.isolation(z), events), "us")
        _told("  of it: distances", _each(lambda n: model.norms - 2.0 * (model.points @ z), events), "us")
        series = rng.uniform(0, 100, (5 * rows, 1))
        models = OverloadModels(directory, ManualClock())
        for method in METHODS:
            took = _seconds(lambda m=method: models.named(m).overloaded(series))  # type: ignore[misc]
            _told(f"detect_overload: {method}, {len(series)} values", took * 1e3, "ms")


def _names() -> tuple[str, ...]:
    plain = [name for name in METRICS if BY_NAME[name].label is None]
    of_devices = [f"{name}{{dev{n}}}" for n in range(8) for name in METRICS if BY_NAME[name].label is not None]
    return tuple((plain + of_devices)[:FEATURES])


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _each(work: Callable[[int], object], events: int) -> float:
    """The median of five rounds."""
    took = []
    for _ in range(5):
        began = time.process_time()
        for n in range(events):
            work(n)
        took.append((time.process_time() - began) / events * 1e6)
    return sorted(took)[2]


def _told(what: str, number: float, unit: str) -> None:
    print(f"{what:52} {number:>9.1f} {unit}", flush=True)


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
