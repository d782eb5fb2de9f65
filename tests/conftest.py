"""What holds for every test: examples are drawn anew at a desk, and the same each time in CI, where a machine may also
be slow without being wrong.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")

# They need a Go or a Docker engine and minutes to build: `make test-k8s`, `make test-compose`. A path given by name is
# collected all the same.
collect_ignore = ["kubernetes", "containers"]

if "PYTEST_XDIST_WORKER" in os.environ:  # a Kafka of ours takes its ports long before it listens there
    from shared.broker import ports
    from tests.support.ports import share

    ports.RANGE = share(ports.RANGE)


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """A command that a test runs sets up the log, to what is standard error only as long as that test lasts."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
