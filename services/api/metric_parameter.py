"""The parameter that names a metric of the catalogue; a misspelt one is answered with the nearest."""

from __future__ import annotations

import difflib
from typing import Any

from services.api import messages
from services.api.errors import bad_parameter
from services.api.messages import Text
from services.api.parameters import Parameter, Repeated
from shared.schemas.metrics import BY_NAME


def _read(text: str, _: int) -> str:
    if text in BY_NAME:
        return text
    close = difflib.get_close_matches(text[:80], BY_NAME, n=1)
    near = Text(f", 例如 {close[0]}", f", such as {close[0]}") if close else Text("", "")
    raise bad_parameter("metric", messages.METRIC.of(near=near))


_ALLOWED = messages.METRIC.of(near=Text("", ""))
_SCHEMA: dict[str, Any] = {"type": "string", "examples": ["cpu.percent"]}

METRIC_NAME: Parameter[str] = Parameter(
    "metric", "Name of a metric.", _ALLOWED, _read, default="", schema=_SCHEMA, required=True
)
METRIC_NAMES = Repeated(METRIC_NAME, required=True, most=20)
