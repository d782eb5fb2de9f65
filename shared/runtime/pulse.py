"""A sign of life for who cannot ask over HTTP: a file a service, touched while the service makes progress.

A container's or Kubernetes' probe looks at its age by shell alone; starting Python for that would cost more than an
agent does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from pathlib import Path

from shared.runtime.health import Health

log = logging.getLogger(__name__)

EVERY = 5.0  # seconds
STALE_AFTER = 60.0  # seconds; what the probes in `deploy/` use


class Pulse:
    """Beats once at the start and then every ``EVERY`` seconds in which every check of progress is well."""

    name = "pulse"

    def __init__(self, health: Health, data_dir: Path, services: Iterable[str]) -> None:
        self._health = health
        self._files = [file_of(data_dir, service) for service in services]
        self._well = True

    async def start(self) -> None:
        self._beat()

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            self._beat()

    async def stop(self) -> None:
        for file in self._files:
            file.unlink(missing_ok=True)

    def _beat(self) -> None:
        failures = Health.failures(self._health.progress)
        if failures:
            if self._well:
                log.error("no progress", extra={"reason": "; ".join(failures.values())})
        else:
            try:
                for file in self._files:
                    file.touch()
            except OSError as error:  # a full disk is no lack of progress, but nobody could tell
                log.warning("the sign of life cannot be given", extra={"reason": error.strerror})
        self._well = not failures


def file_of(data_dir: Path, service: str) -> Path:
    return data_dir / "run" / f"{service}.pulse"


def age(data_dir: Path, service: str) -> float | None:
    """Seconds since the service was last well; ``None`` when it does not run or never was."""
    try:
        return max(0.0, time.time() - file_of(data_dir, service).stat().st_mtime)
    except OSError:
        return None
