"""Programs out of Debian's packages, unpacked into a cache and never installed: where apt is not, or gives nothing."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.broker.jars import cache_dir


class NotAtHand(Exception):
    """Says what is missing, in one line."""


def unpacked(
    name: str, *packages: str, cache: Path | None = None, then: Callable[[Path], None] = lambda root: None
) -> Path:
    """A directory with what is in these packages, as under ``/``, and as ``then`` has left it. Blocks, the first time
    for a download. Raises ``NotAtHand``.
    """
    cache = (cache or cache_dir()) / "debian"
    place = cache / name
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # who comes second waits, and finds it there
        if not place.is_dir():
            _fetch(place, packages, then)
    return place


def at_hand(fetch: Callable[[], Path]) -> Path:
    """What ``fetch`` gives; where it cannot be had, skip at a desk and fail in CI."""
    try:
        return fetch()
    except (NotAtHand, OSError) as error:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            raise
        pytest.skip(str(error))


def _fetch(place: Path, packages: tuple[str, ...], then: Callable[[Path], None]) -> None:
    if missing := [program for program in ("apt-get", "dpkg-deb") if shutil.which(program) is None]:
        raise NotAtHand(f"{packages[0]} comes from Debian's packages, and there is no {missing[0]}")
    scratch = place.with_name(f"{place.name}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "root").mkdir(parents=True)
    try:
        _run(scratch, "apt-get", "-q", "download", *packages)
        for package in scratch.glob("*.deb"):
            _run(scratch, "dpkg-deb", "-x", package.name, "root")
        then(scratch / "root")
        (scratch / "root").replace(place)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run(directory: Path, *words: str) -> None:
    try:
        done = subprocess.run(words, cwd=directory, capture_output=True, text=True, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotAtHand(f"`{' '.join(words[:3])} …` failed: {error}") from None
    if done.returncode:
        raise NotAtHand(f"`{' '.join(words)}` failed: {' '.join(done.stderr.split())[-300:]}")
