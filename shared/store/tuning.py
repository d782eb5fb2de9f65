"""How the engine keeps house in our tables: settings of tables that save work and change no answer.

Applied at each start beside the TTLs, and in no migration, because an older server knows fewer of them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping

from shared.store.port import Store

log = logging.getLogger(__name__)

# Statistics of every column, written with every part: nothing we ask is planned by them.
_NO_STATISTICS = {"auto_statistics_types": "''"}
# An insert makes a part in each of these. Merging as few as four or five at once, each row is written twice as often.
_LARGER_MERGES = {"min_parts_to_merge_at_once": "10"}

_RAW = ("samples", "processes", "disks", "disk_io", "network", "gpus", "temperatures", "scores")
_OTHERS = ("systems", "hosts", "rollup_1m", "rollup_1h", "arrivals", "completeness", "anomalies", "alerts", "logs")

TUNING: dict[str, Mapping[str, str]] = {
    **dict.fromkeys(_OTHERS, _NO_STATISTICS),
    **dict.fromkeys(_RAW, _NO_STATISTICS | _LARGER_MERGES),
}
"""Table -> its settings, in SQL. A rollup is asked across days, so it stays in few parts."""


async def apply_tuning(store: Store) -> list[str]:
    """Tables that are there have the settings of ``TUNING`` this server knows. Returns the tables that were altered."""
    rows = await store.query("SELECT name FROM system.merge_tree_settings")
    known = {name for (name,) in rows}
    altered = []
    for table, engine in await store.query(
        "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()"
    ):
        if missing := list(_missing(TUNING.get(table, {}), known, engine)):
            await store.command(f"ALTER TABLE `{table}` MODIFY SETTING {', '.join(missing)}")
            altered.append(table)
    if altered:
        log.info("table settings applied", extra={"tables": ",".join(altered)})
    return altered


def _missing(wanted: Mapping[str, str], known: Iterable[str], engine: str) -> Iterable[str]:
    for name, value in wanted.items():
        if name in known and not re.search(rf"\b{name} = {re.escape(value)}(?!\w)", engine):
            yield f"{name} = {value}"
