"""The schema, brought to this version: numbered ``sql/*.sql`` files, each applied once, in order, then the TTLs.

Every statement may be repeated (``IF NOT EXISTS``), so that a migration that was interrupted, or that two processes
carry out at once, ends in the same schema.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from shared.runtime.settings import ClickhouseSettings, Settings
from shared.runtime.version import VERSION
from shared.store.port import Store, StoreError
from shared.store.statements import statements

log = logging.getLogger(__name__)

_JOURNAL = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    number UInt32,
    name String,
    checksum String COMMENT 'sha-256 of the file',
    version String COMMENT 'of Lapwing',
    applied_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY number
"""

_RAW = "raw_days"
RETENTION = {
    "samples": ("ts", _RAW),
    "disks": ("ts", _RAW),
    "disk_io": ("ts", _RAW),
    "network": ("ts", _RAW),
    "gpus": ("ts", _RAW),
    "temperatures": ("ts", _RAW),
    "processes": ("ts", "process_days"),
    "systems": ("ts", "hour_days"),
    "rollup_1m": ("ts", "minute_days"),
    "rollup_1h": ("ts", "hour_days"),
    "arrivals": ("ts", _RAW),
    "agent_drops": ("hour", _RAW),
    "completeness": ("hour", "hour_days"),
    "scores": ("ts", "event_days"),
    "anomalies": ("started_at", "event_days"),
    "alerts": ("started_at", "event_days"),
    "alert_events": ("ts", "event_days"),
    "attention": ("updated_at", "event_days"),
    "attention_events": ("ts", "event_days"),
    "deliveries": ("ts", "event_days"),
    "logs": ("ts", "log_days"),
    "dead_letters": ("failed_at", "event_days"),
}
"""Table -> its column of time, and the setting that says for how many days it is kept."""


@dataclass(frozen=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """Those that come with this version, in order."""
    files = sorted(f.name for f in resources.files("shared.store").joinpath("sql").iterdir() if f.name.endswith(".sql"))
    return [
        Migration(
            int(name[:4]), name.removesuffix(".sql"), resources.files("shared.store").joinpath("sql", name).read_text()
        )
        for name in files
    ]


async def migrate(settings: Settings, store: Store, *, known: list[Migration] | None = None) -> list[str]:
    """Returns the names of the migrations that were applied; none when the schema was up to date.

    Raises ``StoreError`` (permanent) when an applied migration is not the one we know, or the database is newer than
    this code; nothing was changed then.
    """
    known = migrations() if known is None else known
    await store.command(_JOURNAL)
    applied = {
        number: (name, checksum)
        for number, name, checksum in await store.query(
            "SELECT number, name, checksum FROM schema_migrations FINAL ORDER BY number"
        )
    }
    _refuse_strangers(known, applied)
    done = []
    for migration in known:
        if migration.number in applied:
            continue
        for statement in statements(migration.sql):
            await store.command(statement)
        await store.command(
            "INSERT INTO schema_migrations SELECT {number:UInt32}, {name:String}, {checksum:String}, {version:String}, "
            "now64(3)",
            {
                "number": migration.number,
                "name": migration.name,
                "checksum": migration.checksum,
                "version": VERSION,
            },
        )
        log.info("schema migrated", extra={"migration": migration.name})
        done.append(migration.name)
    await apply_retention(settings.clickhouse, store)
    return done


def _refuse_strangers(known: list[Migration], applied: Mapping[int, tuple[str, str]]) -> None:
    by_number = {m.number: m for m in known}
    for number, (name, checksum) in applied.items():
        ours = by_number.get(number)
        if ours is None:
            raise StoreError(
                f"the database was made by a newer Lapwing (it has migration {name}); upgrade this one, "
                "or restore a backup made before the upgrade",
                permanent=True,
            )
        if ours.checksum != checksum:
            raise StoreError(
                f"migration {ours.name} is not the one this database was made with ({name}, {checksum[:12]}); "
                "migrations that were applied must not be edited: add a new one",
                permanent=True,
            )


async def apply_retention(settings: ClickhouseSettings, store: Store) -> list[str]:
    """Every table of ``RETENTION`` has the TTL that the settings say. Returns the tables that were altered."""
    engines = await store.query("SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()")
    altered = []
    for table, engine in engines:
        if table not in RETENTION:
            continue
        column, setting = RETENTION[table]
        days = getattr(settings, setting)
        if _days(engine) == days:
            continue
        await store.command(f"ALTER TABLE `{table}` MODIFY TTL toDateTime({column}) + toIntervalDay({days:d})")
        altered.append(table)
    if altered:
        log.info("retention applied", extra={"tables": ",".join(altered)})
    return altered


def _days(engine: str) -> int | None:
    found = re.search(r"\bTTL .*?toIntervalDay\((\d+)\)", engine)
    return int(found[1]) if found else None
