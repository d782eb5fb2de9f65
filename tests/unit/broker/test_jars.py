"""Kafka's jars: fetched once, checked each time, and never half there."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from shared.broker import jars
from shared.broker.embedded import BrokerError
from shared.broker.jars import cache_dir, checksums, kafka_jars

CONTENT = {"kafka-clients.jar": b"clients", "scala-library.jar": b"library"}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small jars instead of forty-six."""
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    monkeypatch.setattr(jars, "checksums", lambda: sums)


class Central:
    """Gives what it has, among other things and in directories of its own, as Maven's client does."""

    def __init__(self, content: dict[str, bytes] | None = None) -> None:
        self.content = CONTENT if content is None else content
        self.asked = 0

    def __call__(self, into: Path) -> None:
        self.asked += 1
        for name, content in {**self.content, "something-else.jar": b"?"}.items():
            place = into / "org" / name.removesuffix(".jar")
            place.mkdir(parents=True)
            (place / name).write_bytes(content)


def offline(into: Path) -> None:
    (into / "kafka-clients.jar").write_bytes(b"cli")
    raise ConnectionError("no route to host\nand much more")


def wrapped(into: Path) -> None:
    """As an HTTP client says that nobody listens."""
    refused = ConnectionError("Connection refused")
    retries = RuntimeError("Max retries exceeded with url: /a/b (Caused by …)")
    retries.reason = OSError("Unable to connect to proxy", refused)  # type: ignore[attr-defined]
    raise RuntimeError(retries)


def held(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir()}


def test_they_are_fetched_once_and_used_from_then_on(tmp_path: Path) -> None:
    central = Central()
    place = kafka_jars(tmp_path, fetch=central)
    assert held(place) == CONTENT
    assert kafka_jars(tmp_path, fetch=offline) == place
    assert central.asked == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([place.name, f"{place.name}.lock"])


@pytest.mark.parametrize("damage", ["cut", "gone", "stranger"])
def test_what_was_damaged_is_fetched_again(tmp_path: Path, damage: str) -> None:
    place = kafka_jars(tmp_path, fetch=Central())
    if damage == "cut":
        (place / "scala-library.jar").write_bytes(b"libr")
    elif damage == "gone":
        (place / "scala-library.jar").unlink()
    else:
        (place / "another-version.jar").write_bytes(b"")
    central = Central()
    assert held(kafka_jars(tmp_path, fetch=central)) == CONTENT
    assert central.asked == 1


@pytest.mark.parametrize(
    "content, said",
    [
        ({**CONTENT, "scala-library.jar": b"evil"}, r"scala-library\.jar has another SHA-256"),
        ({"kafka-clients.jar": b"clients"}, r"1 of 2 jars are missing \(scala-library\.jar"),
        ({}, "2 of 2 jars are missing"),
    ],
)
def test_what_is_not_what_it_should_be_is_refused_and_not_kept(
    tmp_path: Path, content: dict[str, bytes], said: str
) -> None:
    with pytest.raises(BrokerError, match=said):
        kafka_jars(tmp_path, fetch=Central(content))
    assert [p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")] == []
    assert held(kafka_jars(tmp_path, fetch=Central())) == CONTENT


def test_offline_the_first_time_it_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="no route to host; the first start on `local://` needs the network") as error:
        kafka_jars(tmp_path, fetch=offline)
    assert "\n" not in str(error.value)
    assert held(kafka_jars(tmp_path, fetch=Central())) == CONTENT


def test_the_reason_is_taken_out_of_its_wrappings(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="from Maven Central: Connection refused; the first start"):
        kafka_jars(tmp_path, fetch=wrapped)


def test_what_a_killed_download_left_is_in_nobodys_way(tmp_path: Path) -> None:
    part = tmp_path / f"kafka-{jars.VERSION}.part" / "from"
    part.mkdir(parents=True)
    (part / "scala-library.jar").write_bytes(b"li")
    assert held(kafka_jars(tmp_path, fetch=Central())) == CONTENT


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokerError, match=r"cannot be kept in .*file/lapwing.*XDG_CACHE_HOME"):
        kafka_jars(tmp_path / "file" / "lapwing", fetch=Central())


def test_the_cache_is_where_the_desktop_says(tmp_path: Path) -> None:
    assert cache_dir({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "lapwing"
    assert cache_dir({}) == Path.home() / ".cache" / "lapwing"
    assert cache_dir({"XDG_CACHE_HOME": "relative"}) == Path.home() / ".cache" / "lapwing"


def test_the_sums_kept_here_are_whole() -> None:
    sums = checksums()
    assert len(sums) == 46
    assert f"kafka_2.13-{jars.VERSION}.jar" in sums
    for name, digest in sums.items():
        assert re.fullmatch(r"[\w.-]+\.jar", name)
        assert re.fullmatch(r"[0-9a-f]{64}", digest)
    versions = {re.sub(r".*-(?=\d)", "", name) for name in sums if name.startswith("log4j-")}
    assert len(versions) == 1, "the logging parts belong together"
