"""One engine and one set of images for all tests here. Where an engine cannot be had: a skip, in CI a failure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.broker.embedded import BrokerError
from shared.broker.jars import cache_dir
from tests.containers.composed import Composed, compose_command
from tests.containers.engine import Engine, NoEngine, engine
from tests.containers.images import build_all


@pytest.fixture(scope="session")
def images() -> dict[str, str]:
    """Built; and what docker-compose.yml has to be told of them."""
    try:
        compose_command()
        with engine(_home(), outside=False) as island:
            island.tidy()  # a run that was killed left them, and they must not come up outside
        with engine(_home(), outside=True) as builder:
            return build_all(builder)
    except (NoEngine, BrokerError) as reason:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            raise
        pytest.skip(f"no containers: {reason}")


@pytest.fixture(scope="session")
def island(images: dict[str, str]) -> Iterator[Engine]:
    with engine(_home(), outside=False) as it:
        yield it


@pytest.fixture(scope="session")
def compose(island: Engine, images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    composed = Composed(island, tmp_path_factory.mktemp("compose"), images)
    try:
        yield composed
    finally:
        composed("down", "--volumes")


def _home() -> Path:
    return cache_dir() / "containers"
