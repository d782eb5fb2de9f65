"""What ``lapwing train`` prints. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from services.train.quiet import WINDOW_MS
from shared.models import card as cards
from shared.models.card import Card
from shared.models.registry import Listed
from shared.runtime import times

_MADE = 4


def kept(card: Card, in_use: bool) -> str:
    """After a training."""
    lines = [f"{card.kind} {_name(card)}, version {card.version}" + (": in use" if in_use else "")]
    lines += [f"  {name:<36} {score:g}" for name, score in card.scores.items()]
    if not in_use:
        lines.append(f"  not in use; `lapwing train use {card.kind} {card.name} {card.version}` puts it into use")
    return "\n".join(lines)


def stretch(host: str, start_ms: int, end_ms: int, chosen: bool, left_out: int, told: int) -> str:
    hours = (end_ms - start_ms) / 3_600_000
    what = "quiet" if chosen else "taken as quiet"
    line = f"{host}: {what}: {times.iso(start_ms)} to {times.iso(end_ms)}, {hours:.1f} h"
    if left_out:
        line += f"; {left_out * WINDOW_MS // 60_000} min of it were not, and are left out"
    if told and not chosen:
        line += f"; {told} anomalies were told in it: see --quiet auto"
    return line


def scored(card: Card, scores: Mapping[str, float], rows: int) -> Card:
    return msgspec.structs.replace(card, scores={n: round(s, 4) for n, s in scores.items()}, rows=rows)


def table(models: Sequence[Listed]) -> str:
    rows = [("KIND", "NAME", "VERSION", "IN USE", "MADE", "ROWS", "SCORE"), *map(_row, models)]
    # A refused one has a sentence where others have a date, and makes no column wide.
    widths = [max(len(row[at]) for row in rows if at != _MADE or row[_MADE + 1]) for at in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _row(model: Listed) -> tuple[str, ...]:
    used = "yes" if model.current else ""
    if model.card is None:
        return model.kind, model.name, str(model.version), used, f"refused: {model.trouble}", "", ""
    score = next((f"{name} {score:g}" for name, score in model.card.scores.items()), "")
    card = model.card
    return model.kind, _name(card), str(model.version), used, card.made_at, str(card.rows), score


def card(card: Card) -> str:
    return cards.written(card).decode().rstrip()


def _name(card: Card) -> str:
    host = card.about.get("host")
    return f"{card.name} ({host})" if host and host != card.name else card.name
