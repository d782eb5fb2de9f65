"""A model card: what a model is, of what it was made and how good it proved. Kept beside its arrays as JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.models.arrays import ModelError

FORMAT = 1
MOST_BYTES = 1 << 20
Kind = Literal["overload", "frozen"]
KINDS: tuple[Kind, ...] = ("overload", "frozen")


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """``span``: epoch milliseconds of the history it was made of. ``size`` (bytes), ``sha256``: of the arrays' file.
    ``scores`` are cross-validated. ``about``: what else a person wants to know (file, host's name, what was left out).
    """

    format: int = FORMAT
    kind: Kind
    name: str
    version: int = 0
    model: str
    made_at: str
    lapwing: str
    libraries: dict[str, str]
    features: list[str]
    rows: int
    span: tuple[int, int] | None = None
    parameters: dict[str, float] = {}
    scores: dict[str, float] = {}
    about: dict[str, str] = {}
    size: int = 0
    sha256: str = ""


def written(card: Card) -> bytes:
    return msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n"


def read(data: bytes) -> Card:
    """Raises ``ModelError``."""
    if len(data) > MOST_BYTES:
        raise ModelError("its card is too large to be one")
    try:
        card = msgspec.json.decode(data, type=Card)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise ModelError(f"its card cannot be read: {problem}") from None
    if card.format != FORMAT:
        raise ModelError(f"its card is of format {card.format}; this version reads {FORMAT}")
    if not card.features or len(set(card.features)) != len(card.features):
        raise ModelError("its card names no features, or one twice")
    return card
