"""Hypothesis strategies made from the wire models themselves, so that a new field is tested the day it is added."""

from __future__ import annotations

import types
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as at
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from shared.schemas.base import Event

_TEXT = st.characters(exclude_categories=["Cs"])
"""Any character but half a surrogate pair, which JSON in UTF-8 cannot carry."""


@cache
def events(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Valid instances of ``model``; a field with a default is sometimes left to it."""
    required, optional = {}, {}
    for name, field in model.model_fields.items():
        if name == "kind":
            continue
        (required if field.is_required() else optional)[name] = _field(field)
    return st.fixed_dictionaries(required, optional=optional).map(lambda values: model(**values))


def lines(*models: type[Event]) -> st.SearchStrategy[tuple[type[Event], Any]]:
    """``(model, instance)`` of any of the models."""
    return st.sampled_from(models).flatmap(lambda model: st.tuples(st.just(model), events(model)))


def _field(field: FieldInfo) -> st.SearchStrategy[Any]:
    return _values(field.annotation, field.metadata)


def _values(annotation: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = [m for a in args[1:] for m in (a.metadata if isinstance(a, FieldInfo) else [a])]
        return _values(args[0], [*inner, *metadata])
    if origin in (Union, types.UnionType):
        return st.one_of([_values(a, metadata) for a in args])
    if origin is Literal:
        return st.sampled_from(args)
    low, high, shortest, longest = _bounds(metadata)
    if annotation is type(None):
        return st.none()
    if annotation is bool:
        return st.booleans()
    if annotation is int:
        return st.integers(low, high) | st.sampled_from([n for n in (low, high) if n is not None] or [0])
    if annotation is float:
        return st.floats(low, high, allow_nan=False, allow_infinity=False)
    if annotation is str:
        return _texts(shortest, longest)
    if origin is list:
        return st.lists(_values(args[0], []), min_size=shortest, max_size=max(shortest, 2))
    if origin is dict:
        return st.dictionaries(_values(args[0], []), _values(args[1], []), min_size=shortest, max_size=2)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return st.deferred(lambda: events(annotation))
    raise NotImplementedError(f"no strategy for {annotation}")


def _texts(shortest: int, longest: int | None) -> st.SearchStrategy[str]:
    """Mostly short, sometimes as long as allowed, in characters of one to four bytes."""
    short = st.text(_TEXT, min_size=shortest, max_size=8)
    if longest is None:
        return short
    return short | st.sampled_from(["x" * longest, "😀" * longest, "é" * max(longest - 1, shortest)])


def _bounds(metadata: list[Any]) -> tuple[Any, Any, int, int | None]:
    low = high = longest = None
    shortest = 0
    for m in metadata:
        if isinstance(m, at.Ge):
            low = m.ge
        elif isinstance(m, at.Le):
            high = m.le
        elif isinstance(m, at.MinLen):
            shortest = m.min_length
        elif isinstance(m, at.MaxLen):
            longest = m.max_length
        elif not isinstance(m, at.BaseMetadata):
            continue
        else:
            raise NotImplementedError(f"no strategy for the bound {m}")
    return low, high, shortest, longest
