"""Escalation: whom else to tell, once, when nobody took it on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.alerter.notification.ledger import Told
from shared.schemas.control import Step


def next_step(steps: Sequence[Step], began: int, told: Mapping[str, Told]) -> tuple[int, int] | None:
    """Which step is next, and when, epoch milliseconds; ``None`` when all were taken.

    ``began``: since when somebody could have acknowledged.
    """
    taken: dict[str, int] = {}
    for index, step in enumerate(steps):
        taken[step.receiver] = taken.get(step.receiver, 0) + 1
        known = told.get(step.receiver)
        if known is None or len(known.escalations) < taken[step.receiver]:
            return index, began + step.after_ms
    return None
