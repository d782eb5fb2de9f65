"""Query parameters: what is allowed, how it is read, how it is refused, how it is documented; each said once."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar, cast
from urllib.parse import parse_qsl

from services.api import messages
from services.api.errors import bad_parameter, unprocessable
from services.api.messages import Text
from shared.runtime import times

T = TypeVar("T")
MOST_FIELDS = 200
_WHOLE = re.compile(r"-?\d{1,18}", re.ASCII)


class Parameter(Generic[T]):
    """``read(text, now_ms)`` raises ``ValueError`` on what is not ``allowed``."""

    def __init__(
        self,
        name: str,
        description: str,
        allowed: Text,
        read: Callable[[str, int], T],
        *,
        default: T,
        schema: dict[str, Any],
        required: bool = False,
    ) -> None:
        self.name = name
        self.description = description
        self.allowed = allowed
        self.read = read
        self.default = default
        self.schema = schema
        self.required = required

    def parse(self, texts: Sequence[str], now_ms: int) -> T:
        if len(texts) > 1:
            raise unprocessable(messages.REPEATED_PARAMETER.of(name=self.name))
        return self._one(texts[0], now_ms)

    def _one(self, text: str, now_ms: int) -> T:
        try:
            return self.read(text, now_ms)
        except ValueError:
            raise bad_parameter(self.name, self.allowed) from None

    def documented(self) -> dict[str, Any]:
        """The parameter as OpenAPI has it."""
        return {
            "name": self.name,
            "in": "query",
            "required": self.required,
            "description": self.description,
            "schema": self.schema,
        }


class Repeated(Parameter[list[T]]):
    """May be given several times."""

    def __init__(self, one: Parameter[T], *, required: bool = False, most: int = 50) -> None:
        super().__init__(
            one.name,
            f"{one.description} May be repeated.",
            one.allowed,
            lambda text, now: [one.read(text, now)],
            default=[],
            schema={"type": "array", "items": one.schema, "maxItems": most},
            required=required,
        )
        self._most = most

    def parse(self, texts: Sequence[str], now_ms: int) -> list[T]:
        if len(texts) > self._most:
            raise unprocessable(messages.TOO_MANY_PARAMETERS.of(most=self._most))
        return list(dict.fromkeys(value for text in texts for value in self._one(text, now_ms)))


class Values:
    """What a request asked for, by parameter."""

    def __init__(self, found: dict[str, Any]) -> None:
        self._found = found

    def __getitem__(self, parameter: Parameter[T]) -> T:
        return cast(T, self._found[parameter.name])


def split(query_string: bytes) -> list[tuple[str, str]]:
    if not query_string:
        return []
    try:
        return parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise unprocessable(messages.TOO_MANY_PARAMETERS.of(most=MOST_FIELDS)) from None


def read(pairs: Iterable[tuple[str, str]], parameters: Sequence[Parameter[Any]], now_ms: int) -> Values:
    """Raises ``ApiError`` 422 on the first parameter that is unknown, repeated or not allowed.

    Names that begin with ``_`` are let pass: some clients add one so that no cache answers.
    """
    given: dict[str, list[str]] = {}
    for name, text in pairs:
        given.setdefault(name, []).append(text)
    found: dict[str, Any] = {}
    for parameter in parameters:
        texts = given.pop(parameter.name, None)
        if texts is not None:
            found[parameter.name] = parameter.parse(texts, now_ms)
        elif parameter.required:
            raise unprocessable(messages.MISSING_PARAMETER.of(name=parameter.name, allowed=parameter.allowed))
        else:
            found[parameter.name] = parameter.default
    for name in given:
        if not name.startswith("_"):
            raise _unknown(name, [p.name for p in parameters])
    return Values(found)


def _unknown(name: str, known: list[str]) -> Exception:
    shown, listed = shortened(name), ", ".join(known) or "-"
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return unprocessable(messages.UNKNOWN_PARAMETER_NEAR.of(name=shown, nearest=near[0], known=listed))
    return unprocessable(messages.UNKNOWN_PARAMETER.of(name=shown, known=listed))


def shortened(text: str, most: int = 80) -> str:
    """What a client sent, fit to be said back to it."""
    clean = "".join(c if c.isprintable() else "?" for c in text[: most + 1])
    return clean if len(clean) <= most else clean[:most] + "…"


def whole_number(name: str, description: str, low: int, high: int, default: int) -> Parameter[int]:
    def parse(text: str, _: int) -> int:
        if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
            raise ValueError(text)
        return int(text)

    schema = {"type": "integer", "minimum": low, "maximum": high, "default": default}
    return Parameter(
        name, description, messages.WHOLE_NUMBER.of(low=low, high=high), parse, default=default, schema=schema
    )


def optional_whole_number(name: str, description: str, low: int, high: int) -> Parameter[int | None]:
    one = whole_number(name, description, low, high, low)
    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Parameter(name, description, one.allowed, one.read, default=None, schema=schema)


def number(name: str, description: str, low: float, high: float) -> Parameter[float | None]:
    def parse(text: str, _: int) -> float:
        value = float(text)
        if not math.isfinite(value) or not low <= value <= high:
            raise ValueError(text)
        return value

    schema = {"type": "number", "minimum": low, "maximum": high}
    return Parameter(
        name, description, messages.NUMBER.of(low=f"{low:g}", high=f"{high:g}"), parse, default=None, schema=schema
    )


def one_of(name: str, description: str, choices: Sequence[str], default: str) -> Parameter[str]:
    return Parameter(
        name,
        description,
        messages.ONE_OF.of(choices=", ".join(choices)),
        _among(choices),
        default=default,
        schema={"type": "string", "enum": list(choices), "default": default},
    )


def optional_one_of(name: str, description: str, choices: Sequence[str]) -> Parameter[str | None]:
    return Parameter(
        name,
        description,
        messages.ONE_OF.of(choices=", ".join(choices)),
        _among(choices),
        default=None,
        schema={"type": "string", "enum": list(choices)},
    )


def _among(choices: Sequence[str]) -> Callable[[str, int], str]:
    def parse(text: str, _: int) -> str:
        if text not in choices:
            raise ValueError(text)
        return text

    return parse


def words(name: str, description: str, most: int = 256) -> Parameter[str | None]:
    def parse(text: str, _: int) -> str:
        if not 1 <= len(text) <= most:
            raise ValueError(text)
        return text

    return Parameter(
        name,
        description,
        messages.SHORT_TEXT.of(most=most),
        parse,
        default=None,
        schema={"type": "string", "minLength": 1, "maxLength": most},
    )


def _past(text: str, now_ms: int) -> int:
    ms = times.instant(text)
    if ms > now_ms + CLOCK_SKEW_MS:
        raise ValueError(text)
    return ms


CLOCK_SKEW_MS = 5000  # a client's clock may run a little ahead of ours

HOST = words("host", "Name or id of a host. Default: the machine the API runs on, else the last to report.")
AT: Parameter[int | None] = Parameter(
    "at",
    "The state as it was at this RFC 3339 instant.",
    messages.INSTANT,
    _past,
    default=None,
    schema={"type": "string", "format": "date-time"},
)


def moment(name: str, description: str) -> Parameter[int | None]:
    return Parameter(
        name,
        description,
        messages.MOMENT,
        times.moment,
        default=None,
        schema={"type": "string", "examples": ["now-6h"]},
    )
