"""Versions on disk: whole or not at all, the last ones kept, the one in use chosen."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from shared.models import registry
from shared.models.arrays import ModelError
from shared.models.card import Card
from tests.support.models import card, forest_arrays, svm_arrays


def add(directory: Path, *, use: bool = False, keep: int = 5, limit: float = 50.0) -> Card:
    return registry.add(directory, card(), svm_arrays(limit), use=use, keep=keep)


def versions(directory: Path) -> list[tuple[int, bool]]:
    return [(m.version, m.current) for m in registry.listed(directory)]


def test_versions_are_numbered_and_none_is_in_use_unasked(tmp_path: Path) -> None:
    assert [add(tmp_path).version for _ in range(3)] == [1, 2, 3]
    assert versions(tmp_path) == [(1, False), (2, False), (3, False)]
    assert registry.current(tmp_path, "overload", "svm") is None
    registry.use(tmp_path, "overload", "svm", 2)
    assert versions(tmp_path) == [(1, False), (2, True), (3, False)]
    registry.use(tmp_path, "overload", "svm", None)
    assert registry.current(tmp_path, "overload", "svm") is None


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    kept = add(tmp_path, use=True)
    found, arrays = registry.load(tmp_path, "overload", "svm", 1)
    assert found == kept and found.sha256 and found.size
    assert {n: a.tolist() for n, a in arrays.items()} == {n: a.tolist() for n, a in svm_arrays().items()}
    assert sorted(p.name for p in (tmp_path / "overload" / "svm" / "1").iterdir()) == ["card.json", "model.npz"]


def test_the_last_ones_are_kept_and_the_one_in_use(tmp_path: Path) -> None:
    add(tmp_path, use=True)
    for _ in range(4):
        add(tmp_path, keep=3)
    assert versions(tmp_path) == [(1, True), (3, False), (4, False), (5, False)]


def test_what_a_killed_process_left_is_no_version_and_is_swept(tmp_path: Path) -> None:
    add(tmp_path)
    left = tmp_path / "overload" / "svm" / ".new-abc"
    left.mkdir()
    (left / "model.npz").write_bytes(b"half")
    assert versions(tmp_path) == [(1, False)]
    add(tmp_path)
    assert not left.exists() and versions(tmp_path) == [(1, False), (2, False)]


def test_removing(tmp_path: Path) -> None:
    add(tmp_path, use=True)
    add(tmp_path)
    with pytest.raises(ModelError, match="is in use"):
        registry.remove(tmp_path, "overload", "svm", 1)
    registry.remove(tmp_path, "overload", "svm", 2)
    with pytest.raises(ModelError, match="there is no model overload svm 2"):
        registry.remove(tmp_path, "overload", "svm", 2)
    registry.use(tmp_path, "overload", "svm", None)
    registry.remove(tmp_path, "overload", "svm", 1)
    assert versions(tmp_path) == [] and registry.names(tmp_path, "overload") == []


def test_a_number_is_never_given_again(tmp_path: Path) -> None:
    assert [add(tmp_path).version for _ in range(2)] == [1, 2]
    registry.remove(tmp_path, "overload", "svm", 2)
    assert add(tmp_path).version == 3
    for version in (1, 3):
        registry.remove(tmp_path, "overload", "svm", version)
    with pytest.raises(ModelError, match="there is no model"):
        registry.use(tmp_path, "overload", "svm", None)
    assert add(tmp_path).version == 4
    (tmp_path / "overload" / "svm" / "newest").write_text("what is this")
    assert add(tmp_path).version == 5


@pytest.mark.parametrize("host", ["..", "a/b", ".", "主机", "a b\n", "%2E", "x" * 128, "changed", "\x00"])
def test_a_host_may_be_called_anything(tmp_path: Path, host: str) -> None:
    directory = tmp_path / "models"
    registry.add(directory, card("frozen", host), svm_arrays(), use=True)
    assert registry.names(directory, "frozen") == [host]
    assert registry.load(directory, "frozen", host, 1)[0].name == host
    assert {p.name for p in tmp_path.iterdir()} == {"models"}
    assert {p.parent.parent for p in directory.rglob("1")} == {directory / "frozen"}


def test_a_name_no_directory_can_have_is_refused(tmp_path: Path) -> None:
    for name in ("", "主" * 128):
        with pytest.raises(ModelError, match="cannot be the name"):
            registry.add(tmp_path, card("frozen", name), svm_arrays(), use=False)


def change(file: Path, **given: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | given))


def foreign(home: Path) -> None:
    change(home / "card.json", name="forest")


def another_file(home: Path) -> None:
    other = registry.add(home.parents[2], card(name="forest"), forest_arrays(), use=False)
    source = registry.place(home.parents[2], "overload", "forest") / str(other.version) / "model.npz"
    (home / "model.npz").write_bytes(source.read_bytes())


def changed_arrays(home: Path) -> None:
    data = bytearray((home / "model.npz").read_bytes())
    data[-200] ^= 1
    (home / "model.npz").write_bytes(data)


def a_pipe(home: Path) -> None:
    (home / "model.npz").unlink()
    os.mkfifo(home / "model.npz")


DAMAGE = {
    "no card": (lambda home: (home / "card.json").unlink(), "card.json cannot be read"),
    "no arrays": (lambda home: (home / "model.npz").unlink(), "model.npz cannot be read"),
    "half a card": (lambda home: (home / "card.json").write_text('{"kind"'), "its card cannot be read"),
    "a list for a card": (lambda home: (home / "card.json").write_text("[]"), "its card cannot be read"),
    "a deep card": (lambda home: (home / "card.json").write_text("[" * 100_000), "its card cannot be read"),
    "a huge card": (lambda home: (home / "card.json").write_text(" " * (2 << 20)), "too large"),
    "a later format": (lambda home: change(home / "card.json", format=2), "format 2"),
    "no features": (lambda home: change(home / "card.json", features=[]), "names no features"),
    "a feature twice": (lambda home: change(home / "card.json", features=["a", "a"]), "one twice"),
    "another model's card": (foreign, "that of another model"),
    "another model's arrays": (another_file, "bytes instead of|SHA-256"),
    "half a file": (lambda home: (home / "model.npz").write_bytes(b"PK\x03\x04"), "bytes instead of"),
    "a changed byte": (changed_arrays, "SHA-256"),
    "a pipe": (a_pipe, "is no file"),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_version_is_refused_by_name(tmp_path: Path, damage: object, reason: str) -> None:
    add(tmp_path)
    damage(tmp_path / "overload" / "svm" / "1")  # type: ignore[operator]
    with pytest.raises(ModelError, match=rf"the model overload svm 1 is refused: .*({reason})"):
        registry.load(tmp_path, "overload", "svm", 1)
    with pytest.raises(ModelError, match="refused"):
        registry.use(tmp_path, "overload", "svm", 1)
    assert registry.current(tmp_path, "overload", "svm") is None


def test_the_list_tells_what_cannot_be_read(tmp_path: Path) -> None:
    add(tmp_path, use=True)
    foreign(tmp_path / "overload" / "svm" / "1")
    (found,) = registry.listed(tmp_path)
    assert found.card is None and "another model" in found.trouble


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "1 2", "²", "9" * 5000])
def test_a_version_in_use_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    add(tmp_path)
    (tmp_path / "overload" / "svm" / "current").write_text(text)
    with pytest.raises(ModelError, match="names no version"):
        registry.current(tmp_path, "overload", "svm")
    assert add(tmp_path, use=True).version == 2
    assert registry.current(tmp_path, "overload", "svm") == 2


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "overload").write_text("a file")
    with pytest.raises(ModelError, match="cannot write to"):
        add(tmp_path)
    assert registry.names(tmp_path, "overload") == []
