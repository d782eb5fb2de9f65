"""Apache Kafka's jars: fetched once from Maven Central, checked against the sums kept here, then used from a cache."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from shared.broker.embedded import BrokerError

log = logging.getLogger(__name__)

VERSION = "4.3.0"
# Resolved one by one: beside another coordinate jgo mediates Kafka's own parts down to older versions.
_COORDINATES = (f"org.apache.kafka:kafka_2.13:{VERSION}", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4")
_NAME = f"kafka-{VERSION}"
_TELL_EVERY = 5.0  # seconds

Fetch = Callable[[Path], None]
"""Puts the jars anywhere below the directory it is given."""


def kafka_jars(cache: Path, *, fetch: Fetch | None = None) -> Path:
    """The directory with exactly the jars that are wanted, each of them checked just now; fetched where need be.

    Blocks: a tenth of a second when they are there, half a minute the first time, which needs the network.
    Raises ``BrokerError``.
    """
    wanted = checksums()
    place = cache / _NAME
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _alone(cache / f"{_NAME}.lock"):
            if _fault(place, wanted):
                _fetch_into(place, wanted, fetch or _from_maven_central)
    except OSError as error:
        raise BrokerError(
            f"Apache Kafka cannot be kept in {cache}: {error.strerror or error}; "
            "set XDG_CACHE_HOME to a directory you own"
        ) from None
    return place


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where downloads are kept, for all data directories of this user."""
    base = environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "lapwing"


def checksums() -> dict[str, str]:
    """SHA-256 by file name of every jar that is wanted."""
    lines = (resources.files("shared.broker") / f"{_NAME}.sha256").read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def _fetch_into(place: Path, wanted: Mapping[str, str], fetch: Fetch) -> None:
    scratch = place.with_name(f"{_NAME}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.rmtree(place, ignore_errors=True)
    try:
        log.info("fetching Apache Kafka (42 MB, once)", extra={"version": VERSION, "into": str(place)})
        with _progress(scratch, len(wanted)):
            _fetched(fetch, scratch / "from")
        (scratch / "jars").mkdir()
        for path in sorted((scratch / "from").rglob("*.jar")):
            if path.name in wanted:
                path.replace(scratch / "jars" / path.name)
        if fault := _fault(scratch / "jars", wanted):
            raise BrokerError(
                f"what was fetched is not Apache Kafka {VERSION} as it should be: {fault}; nothing was kept"
            )
        (scratch / "jars").replace(place)
        log.info("Apache Kafka is there", extra={"version": VERSION, "jars": len(wanted)})
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _fetched(fetch: Fetch, into: Path) -> None:
    into.mkdir(parents=True)
    try:
        fetch(into)
    except BrokerError:
        raise
    except Exception as error:
        raise BrokerError(
            f"Apache Kafka {VERSION} cannot be fetched from Maven Central: {_words(error)}; "
            "the first start on `local://` needs the network, later ones do not"
        ) from None


def _from_maven_central(into: Path) -> None:
    try:
        from jgo.env import EnvironmentBuilder
        from jgo.maven import MavenContext
    except ImportError:
        raise BrokerError(
            "the package jgo is needed to fetch Apache Kafka: install Lapwing with its extra `kafka`, "
            "or name a broker in LAPWING_KAFKA__BOOTSTRAP_SERVERS"
        ) from None
    # An own repository, not ~/.m2: a download that was cut short stays there and counts as complete.
    context = MavenContext(repo_cache=into / "repository", timeout=30)
    for coordinate in _COORDINATES:
        EnvironmentBuilder(context=context, cache_dir=into / "env").from_endpoint(coordinate)


def _fault(place: Path, wanted: Mapping[str, str]) -> str | None:
    """What is wrong with the jars in ``place``, ``None`` when they are those that are wanted and no others."""
    there = {path.name for path in place.iterdir()} if place.is_dir() else set()
    if missing := sorted(wanted.keys() - there):
        return f"{len(missing)} of {len(wanted)} jars are missing ({missing[0]} …)"
    if strangers := sorted(there - wanted.keys()):
        return f"{strangers[0]} does not belong there"
    for name, digest in wanted.items():
        with (place / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                return f"{name} has another SHA-256 than it should have"
    return None


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Several processes may want to fetch at once; the others wait and find it there."""
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def _progress(scratch: Path, wanted: int) -> Iterator[None]:
    done = threading.Event()

    def tell() -> None:
        while not done.wait(_TELL_EVERY):
            names = {path.name for path in scratch.rglob("*.jar")}
            log.info("fetching Apache Kafka", extra={"jars": len(names), "of": wanted})

    teller = threading.Thread(target=tell, name="kafka-download", daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def _words(error: BaseException) -> str:
    """One line. HTTP clients wrap the reason three times over, each time with everything they know."""
    while inner := next((e for e in (getattr(error, "reason", None), *error.args) if isinstance(e, Exception)), None):
        error = inner
    return (str(error).splitlines() or [""])[0][:300] or type(error).__name__
