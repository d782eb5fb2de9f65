"""Parts of tables that the store found unreadable and put aside: their rows are missing, and it would not say so."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from shared.runtime import selfmetrics
from shared.store.port import Store

log = logging.getLogger(__name__)

_BROKEN = """
SELECT table, count() FROM system.detached_parts
WHERE database = currentDatabase() AND startsWith(reason, 'broken') GROUP BY table"""


async def tell_broken_parts(store: Store, known: Mapping[str, int]) -> dict[str, int]:
    """How many there are, by table; those that are not ``known`` go to the log. Raises ``StoreError``."""
    broken: dict[str, int] = dict(await store.query(_BROKEN))
    selfmetrics.STORE_BROKEN_PARTS.set(sum(broken.values()))
    for table, count in broken.items():
        if count > known.get(table, 0):
            log.error(
                "the store has put unreadable parts of a table aside: rows are missing; are disk and memory sound?",
                extra={"table": table, "parts": count},
            )
    return broken
