"""One API server for the room. Where it cannot be had: skip at a desk, fail in CI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kube_apiserver import ApiServer, api_server
from tests.support.kube_programs import NotAtHand, kube_programs


@pytest.fixture(scope="session")
def programs() -> Path:
    try:
        return kube_programs()
    except NotAtHand as error:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            raise
        pytest.skip(f"no Kubernetes: {error}")


@pytest.fixture(scope="session")
def apiserver(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with api_server(programs, tmp_path_factory.mktemp("kubernetes")) as server:
        yield server
