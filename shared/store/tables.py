"""Where each metric of the catalogue is stored: table, column, fixed-point factor, presence bit.

The tables themselves are in ``sql/``; ``tests/contract/test_tables.py`` holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.schemas.metrics import CATALOGUE, Metric

_OPTIONAL = {"gpu.temperature"}
SECTION_BITS = {"cpu": 0, "load": 1, "memory": 2, "swap": 3, "pressure": 4, "processes": 5}
"""Bit of each scalar section in ``samples.sections``."""


@dataclass(frozen=True)
class Column:
    """``value = column / factor`` where ``samples.sections`` has ``bit`` (``None``: a row is presence enough, but for
    an ``optional`` column, which may be NULL).

    ``label`` is the column that tells the rows of one instant apart, ``None`` for a host's own metrics.
    """

    metric: str
    table: str
    column: str
    factor: int
    label: str | None
    bit: int | None
    important: bool
    optional: bool = False


def _column(m: Metric) -> Column:
    if m.section == "score":
        table = "metric_scores" if m.label else "scores"
        return Column(m.name, table, "score", 1000, m.label, None, m.important)
    if m.label is None:
        name = m.name.replace(".", "_")
        return Column(m.name, "samples", name, 10**m.decimals, None, SECTION_BITS[m.section], m.important)
    optional = m.name in _OPTIONAL
    return Column(m.name, m.section, m.field, 10**m.decimals, m.label, None, m.important, optional)


COLUMNS: dict[str, Column] = {m.name: _column(m) for m in CATALOGUE}
