"""A file is what it was until it is what it shall be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shared.runtime import whole_file


def test_it_holds_what_was_written_last(tmp_path: Path) -> None:
    for data in (b"one", b"", b"three"):
        whole_file.replace(tmp_path / "file", data)
        assert (tmp_path / "file").read_bytes() == data
    assert [f.name for f in tmp_path.iterdir()] == ["file"]


def test_a_disk_that_is_full_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole_file.replace(tmp_path / "file", b"before")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        whole_file.replace(tmp_path / "file", b"after")
    assert (tmp_path / "file").read_bytes() == b"before"


def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".file.new").write_bytes(b"half of someth")
    whole_file.replace(tmp_path / "file", b"whole")
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == {"file": b"whole"}
