"""Makes the models that judge until somebody has trained some: ``python -m services.train.shipped``.

They learn from generated readings of idle, working and busy machines, of which those that were about 85 % and more are
called overload, with the uncertainty of a person who labels them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from services.train import made
from services.train.labelled import Labelled
from services.train.overload import fitted
from shared.models import card as cards
from shared.models import overload, registry
from shared.models.overload import METHODS
from shared.runtime.clock import Clock, SystemClock

ABOUT = 85.0
UNSURE = 3.0
ROWS = 1500


def generated(rows: int = ROWS, seed: int = 0) -> Labelled:
    rng = np.random.default_rng(seed)
    kinds = rng.choice(3, size=rows, p=(0.45, 0.3, 0.25))
    mean, spread = np.array([12.0, 50.0, 91.0])[kinds], np.array([8.0, 16.0, 7.0])[kinds]
    percent = np.clip(rng.normal(mean, spread), 0, 100).round(1)
    return Labelled(("cpu.percent",), percent[:, None], percent + rng.normal(0, UNSURE, rows) > ABOUT)


def make(directory: Path, clock: Clock) -> None:
    """Into ``<directory>/<method>/``. Raises ``OSError``."""
    data = generated()
    for method in METHODS:
        fit = fitted(method, data)
        card = made.card(
            "overload",
            method,
            method,
            features=data.features,
            rows=fit.rows,
            span=None,
            parameters=fit.parameters,
            scores=fit.scores,
            about={"made of": f"{ROWS} generated readings, overload about {ABOUT:.0f} %"},
            now_ms=clock.now_ms(),
        )
        registry.write(directory / method, card, 1, fit.arrays)


if __name__ == "__main__":
    make(Path(overload.SHIPPED), SystemClock())
    print(*(cards.written(registry.read(overload.SHIPPED / m, "overload", m, 1)[0]).decode() for m in METHODS))
