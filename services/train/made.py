"""What every model card says of its making."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy
import sklearn

from shared.models.card import Card, Kind
from shared.runtime import times
from shared.runtime.version import VERSION


def card(
    kind: Kind,
    name: str,
    model: str,
    *,
    features: Sequence[str],
    rows: int,
    span: tuple[int, int] | None,
    parameters: Mapping[str, float],
    scores: Mapping[str, float],
    about: Mapping[str, str],
    now_ms: int,
) -> Card:
    return Card(
        kind=kind,
        name=name,
        model=model,
        made_at=times.iso(now_ms),
        lapwing=VERSION,
        libraries={"scikit-learn": sklearn.__version__, "numpy": numpy.__version__},
        features=list(features),
        rows=rows,
        span=span,
        parameters=dict(parameters),
        scores={name: round(float(score), 4) for name, score in scores.items()},
        about=dict(about),
    )
