"""A metric's values in a host sample, by their place in the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from shared.schemas.metrics import Metric
from shared.schemas.sample import HostSample

Values = list[tuple[str, float]]
"""``(label value, value)``; the label value is empty where a host has the metric once."""


def section_of(metric: Metric) -> Callable[[HostSample], Any]:
    """What reads the metric's section out of a sample: ``None`` when it was not due."""
    section = attrgetter(metric.section)

    def read(sample: HostSample) -> Any:
        found = section(sample)
        return found.devices if found is not None and metric.section == "gpus" else found

    return read


def reader_of(metric: Metric) -> Callable[[Any], Values]:
    """What reads the metric's values out of its section."""
    field = attrgetter(metric.field)
    if metric.label is None:
        return lambda section: [] if (value := field(section)) is None else [("", value)]
    label = attrgetter(metric.label)

    def read(section: Any) -> Values:
        return [
            (str(label(entry)), value)
            for entry in section
            # A read-only filesystem (an image, a CD) is full by nature.
            if (value := field(entry)) is not None and not getattr(entry, "read_only", False)
        ]

    return read
