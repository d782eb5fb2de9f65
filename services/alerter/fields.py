"""How people write things in the YAML files: durations, matchers, labels; a refusal says what to write instead."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from shared.alerting.expressions import problem
from shared.alerting.matching import parts
from shared.schemas.control import Matcher

UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Part(BaseModel):
    """A piece of a file that people write: unknown keys are refused, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def duration(value: Any) -> Any:
    """``90``, ``90s``, ``1.5m`` -> milliseconds."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be a duration such as `30s`, `5m` or `1h`")
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?", str(value))
    if not found:
        raise ValueError(f"`{value}` is not a duration; write `30s`, `5m` or `1h`")
    return round(float(found[1]) * UNITS[found[2] or "s"])


def matcher(value: Any) -> Any:
    """Alertmanager's way to write a matcher: ``env="prod"``, ``mountpoint!~"/snap/.*"``."""
    read = Matcher(**parts(str(value)))
    if read.is_regex and (why := problem(read.value)):
        raise ValueError(f"`{read.value}` {why}")
    return read


Duration = Annotated[int, BeforeValidator(duration), Field(ge=0, le=30 * 86_400_000)]
"""Milliseconds."""

WrittenMatcher = Annotated[Matcher, BeforeValidator(matcher)]

Labels = dict[
    Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,63}$")],
    Annotated[str, Field(max_length=1024)],
]
