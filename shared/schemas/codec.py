"""Bytes <-> events, fast.

The pydantic models are the one definition. From them msgspec Structs are derived with the same fields, bounds and
defaults, which decode several times faster (7 against 37 us a host sample); ``tests/contract/test_codec.py`` proves
on generated events that both accept, refuse and read the same. Use ``Decoder`` where events stream by, ``explain``
where a person waits for a sentence that says what is wrong.

The two differ in text that no field keeps, and there only: of a repeated key pydantic looks at the last value, msgspec
at each; under a key that nobody knows pydantic refuses nesting deeper than 200, integers of more than 4300 digits and
bytes that are not UTF-8, which msgspec skips, and allows ``NaN`` and ``Infinity``, which msgspec refuses.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, cast, get_args, get_origin

import annotated_types
import msgspec
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from shared.schemas.base import Event
from shared.schemas.refusals import reason

E = TypeVar("E", bound=Event)

_REASON_LENGTH = 500  # a reason travels in a header and ends in a log line; the line itself is kept beside it


@dataclass(frozen=True)
class BadLine:
    """A line that is not the event it should be: ``number`` counts from 1 within its message."""

    number: int
    line: bytes
    reason: str


class Decoder(Generic[E]):
    """Reads events of one or several models, told apart by ``kind``; a reader of one model does without it.

    What it returns are msgspec twins of the models: same attributes, none of pydantic's methods. The type says
    ``E`` because readers need attributes only.
    """

    def __init__(self, *models: type[E]) -> None:
        self._models = {cast(str, m.model_fields["kind"].default): m for m in models}
        self._decode = msgspec.json.Decoder(Union[tuple(twin(m) for m in models)]).decode  # noqa: UP007

    def line(self, line: bytes) -> E:
        """One event. Raises ``ValueError`` (``msgspec.ValidationError`` or ``DecodeError``) on anything else."""
        return cast(E, self._decode(line))

    def lines(self, value: bytes) -> Iterator[E | BadLine]:
        """Every event of a message's value, in order; a bad line costs only itself."""
        for number, line in enumerate(value.split(b"\n"), start=1):
            if not line or line.isspace():
                continue
            try:
                yield self.line(line)
            except (ValueError, RecursionError) as error:
                yield BadLine(number, line, self._reason(line, error)[:_REASON_LENGTH])

    def why_not(self, line: bytes) -> str:
        """What is wrong with a line that ``line`` refuses."""
        found = next(self.lines(line), None)
        return found.reason if isinstance(found, BadLine) else "the line is not an event"

    def _reason(self, line: bytes, error: Exception) -> str:
        for model in self._models.values():
            if len(self._models) == 1 or _kind(line) == model.model_fields["kind"].default:
                return explain(line, model) or str(error)
        return str(error)


def explain(line: bytes, model: type[BaseModel]) -> str:
    """Why ``line`` is not a ``model``, naming the field, in at most five clauses; empty when it is one."""
    try:
        model.model_validate_json(line)
    except ValidationError as error:
        clauses = [f"{_path(e['loc'])}: {reason(e)}" for e in error.errors(include_url=False, include_input=False)]
        more = f"; and {len(clauses) - 5} more" if len(clauses) > 5 else ""
        return "; ".join(clauses[:5]) + more
    return ""


def encode(event: Event | dict[str, Any]) -> bytes:
    """One JSON line without its line end; absent sections are left out.

    A dictionary is taken at its word: ``NaN`` and infinity become ``null``. Text that is not Unicode, as the names of
    files and processes may be, is sent with ``?`` in place of what cannot be written.
    """
    if isinstance(event, BaseModel):
        return event.model_dump_json(exclude_none=True).encode()
    present = {name: section for name, section in event.items() if section is not None}
    try:
        return msgspec.json.encode(present)
    except UnicodeEncodeError:
        return msgspec.json.encode(_unicode(present))


def _unicode(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_unicode(k): _unicode(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_unicode(v) for v in value]
    return value


def pack(lines: Iterable[bytes]) -> bytes:
    """One message value out of several lines."""
    return b"\n".join(lines)


def _kind(line: bytes) -> object:
    try:
        return msgspec.json.decode(line, type=_Kind).kind
    except ValueError:
        return None


class _Kind(msgspec.Struct):
    kind: str = ""


def _path(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc) or "line"


@cache
def twin(model: type[BaseModel]) -> type[msgspec.Struct]:
    """The msgspec Struct with the fields, bounds and defaults of ``model``; ``kind`` becomes its tag."""
    kind = model.model_fields.get("kind")
    return msgspec.defstruct(
        model.__name__,
        [_struct_field(name, field) for name, field in model.model_fields.items() if name != "kind"],
        tag_field="kind" if kind else None,
        tag=kind.default if kind else None,
        frozen=True,
        kw_only=True,
        gc=False,  # decoded JSON is a tree: no cycles to collect
    )


def _struct_field(name: str, field: FieldInfo) -> tuple[str, Any] | tuple[str, Any, Any]:
    annotation = _bounded(_twin_type(field.annotation), field.metadata)
    if field.is_required():
        return name, annotation
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel):
        default = twin(type(default))()
    return name, annotation, default


def _twin_type(annotation: Any) -> Any:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        metadata = [m for a in args[1:] for m in (a.metadata if isinstance(a, FieldInfo) else [a])]
        return _bounded(_twin_type(args[0]), metadata)
    if origin is Literal or not args:
        is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
        return twin(annotation) if is_model else annotation
    inner = tuple(_twin_type(a) for a in args)
    if origin in (Union, types.UnionType):
        return Union[inner]  # noqa: UP007
    return origin[inner]


def _bounded(annotation: Any, metadata: list[Any]) -> Any:
    bounds: dict[str, Any] = {}
    for m in metadata:
        for kind, names in _BOUNDS.items():
            if isinstance(m, kind):
                bounds.update({name: getattr(m, name) for name in names})
    return Annotated[annotation, msgspec.Meta(**bounds)] if bounds else annotation


_BOUNDS: dict[type, tuple[str, ...]] = {
    annotated_types.Ge: ("ge",),
    annotated_types.Gt: ("gt",),
    annotated_types.Le: ("le",),
    annotated_types.Lt: ("lt",),
    annotated_types.MinLen: ("min_length",),
    annotated_types.MaxLen: ("max_length",),
}
