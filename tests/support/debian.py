"""Programs out of Debian's packages, unpacked into a cache and never installed: where apt is not, or gives nothing."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from shared.broker.jars import cache_dir


class NotAtHand(Exception):
    """Says what is missing, in one line."""


def unpacked(name: str, *packages: str, cache: Path | None = None) -> Path:
    """A directory with what is in these packages, as under ``/``. Blocks, the first time for a download. Raises
    ``NotAtHand``.
    """
    cache = (cache or cache_dir()) / "debian"
    place = cache / name
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # who comes second waits, and finds it there
        if not place.is_dir():
            _fetch(place, packages)
    return place


def debian_or_skip(name: str, *packages: str) -> Path:
    """``unpacked``. Without an apt the test is skipped; where apt gives nothing it is skipped at a desk and fails in
    CI.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        pytest.skip(f"{name} comes out of Debian's packages, and there is no apt here")
    try:
        return unpacked(name, *packages)
    except NotAtHand as error:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(str(error))
        pytest.skip(str(error))


def _fetch(place: Path, packages: tuple[str, ...]) -> None:
    scratch = place.with_name(f"{place.name}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "root").mkdir(parents=True)
    try:
        _run(scratch, "apt-get", "-q", "download", *packages)
        for package in scratch.glob("*.deb"):
            _run(scratch, "dpkg", "-x", package.name, "root")
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
