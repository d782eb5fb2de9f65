"""What the embedded engine is opened with; a server has settings of its own."""

from __future__ import annotations

from shared.runtime.settings import Settings

SESSION = {
    # Our statements are few and short: compiling them to machine code costs more than it gives, and memory.
    "compile_expressions": 0,
    "compile_aggregate_expressions": 0,
}

_ENGINE = {
    # An engine of our own is told of every insert at once; in between it would look at each table twice a second.
    "background_processing_pool_thread_sleep_seconds_if_nothing_to_do": 5,
    "background_streaming_processing_pool_thread_sleep_seconds_if_nothing_to_do": 60,
    # How often it looks at its own memory; every 50 ms unless told.
    "memory_worker_period_ms": 1000,
}

# On a disk that is full to the last byte the engine takes parts for written whose files are empty, and a restart then
# puts them aside; so it must stop before. Syncing each insert and merge to the disk does not help.
_KEEP_FREE = "storage_configuration.disks.default.keep_free_space_bytes"


def engine_options(settings: Settings) -> dict[str, int]:
    """Whoever opens the engine first in a process decides, so all must open it with these."""
    return {**_ENGINE, _KEEP_FREE: settings.clickhouse.keep_free_bytes}
