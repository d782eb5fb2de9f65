"""Silences as they are kept: standing while they are not over, listed for some days after that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from uuid import uuid4

from services.api import messages
from services.api.decisions import Decisions
from services.api.errors import bad_parameter, conflict, not_found, unprocessable
from services.api.matchers import in_force, mean_everything
from shared.alerting.matching import matches
from shared.runtime import times
from shared.schemas.control import Matcher, Silence

PREFIX = "silence:"
MOST_STANDING = 1000
LISTED_FOR_MS = 5 * 86_400_000
LONGEST_MS = 366 * 86_400_000
State = Literal["pending", "active", "expired"]
STATES: tuple[State, ...] = ("active", "pending", "expired")
Kept = Mapping[str, Any]


def state(kept: Kept, now_ms: int) -> State:
    if kept["ends_at"] <= now_ms:
        return "expired"
    return "pending" if kept["starts_at"] > now_ms else "active"


def means(kept: Kept, labels: Mapping[str, str]) -> bool:
    return matches(in_force(kept["matchers"]), labels)


def shape(kept: Kept, now_ms: int) -> dict[str, Any]:
    return {
        "id": kept["id"],
        "state": state(kept, now_ms),
        "matchers": [m.model_dump() for m in in_force(kept["matchers"])],
        "starts_at": times.iso(kept["starts_at"]),
        "ends_at": times.iso(kept["ends_at"]),
        "author": kept["author"],
        "comment": kept.get("comment", ""),
        "updated_at": times.iso(kept["ts"]),
    }


async def listed(decisions: Decisions, now_ms: int) -> list[dict[str, Any]]:
    """The active ones first, then the pending; those that end last first. Raises ``ApiError`` 503."""
    found = [s for s in await decisions.all_of(PREFIX) if s["ends_at"] > now_ms - LISTED_FOR_MS]
    return sorted(found, key=lambda s: (STATES.index(state(s, now_ms)), -s["ends_at"], s["id"]))


async def standing(decisions: Decisions, now_ms: int) -> list[dict[str, Any]]:
    """Active and pending. Raises ``ApiError`` 503."""
    return [s for s in await listed(decisions, now_ms) if state(s, now_ms) != "expired"]


async def find(decisions: Decisions, silence_id: str) -> dict[str, Any]:
    """Raises ``ApiError`` 404, 503."""
    kept = await decisions.of(PREFIX + silence_id)
    if kept is None:
        raise not_found(messages.UNKNOWN_SILENCE.of(id=silence_id[:128]))
    return kept


def begins(wished: int | None, before: Kept | None, now_ms: int) -> int:
    """A new one not in the past; one that was, when it did, unless it is wished otherwise."""
    if before is None:
        return max(wished or 0, now_ms)
    return int(before["starts_at"]) if wished is None else wished


async def keep(
    decisions: Decisions,
    now_ms: int,
    *,
    matchers: list[Matcher],
    starts_at: int,
    ends_at: int,
    author: str,
    comment: str,
    silence_id: str | None = None,
) -> dict[str, Any]:
    """A new one, or the one of that id changed. Raises ``ApiError`` 422 on one that means everything, is over, or ends
    in more than a year, 409 when there are too many, 503.
    """
    if mean_everything(matchers):
        raise unprocessable(messages.SILENCE_OF_ALL)
    if ends_at <= max(starts_at, now_ms):
        raise bad_parameter("ends_at", messages.LATER_THAN_START)
    if ends_at - now_ms > LONGEST_MS:
        raise bad_parameter("ends_at", messages.WITHIN_A_YEAR)
    everybodys = await decisions.all_of(PREFIX)
    others = [s for s in everybodys if s["id"] != silence_id]
    if sum(s["ends_at"] > now_ms for s in others) >= MOST_STANDING:
        raise conflict(messages.TOO_MANY_SILENCES.of(most=MOST_STANDING))
    for old in others:
        if old["ends_at"] <= now_ms - LISTED_FOR_MS:
            await decisions.take_back(PREFIX + old["id"])
    event = Silence(
        event_id=str(uuid4()),
        ts=now_ms,
        id=silence_id or str(uuid4()),
        matchers=matchers,
        starts_at=starts_at,
        ends_at=ends_at,
        author=author[:256],
        comment=comment,
    )
    await decisions.tell(event)
    return event.model_dump()


async def expire(decisions: Decisions, silence_id: str, now_ms: int) -> dict[str, Any]:
    """It ends now, and stays in the list; one that is over stays as it is. Raises ``ApiError`` 404, 503."""
    kept = await find(decisions, silence_id)
    if state(kept, now_ms) == "expired":
        return kept
    over = kept | {"event_id": str(uuid4()), "ts": now_ms, "ends_at": now_ms}
    over["starts_at"] = min(kept["starts_at"], now_ms)
    event = Silence.model_validate(over)
    await decisions.tell(event)
    return event.model_dump()
