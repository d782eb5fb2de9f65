"""Kernel files that are read again and again."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.agent.procfile import KeptFile, KnownLines


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("size", [0, 10, 1 << 16, (1 << 17) + 1])
def test_a_file_is_read_from_its_start_to_its_end_each_time(tmp_path: Path, size: int, whole: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    file = KeptFile(str(path), whole=whole)
    assert len(file.read()) == size
    path.write_bytes(b"y" * size)
    assert file.read() == b"y" * size
    file.close()


def test_lines_that_are_known_are_not_parsed_again() -> None:
    asked: list[bytes] = []

    def parse(line: bytes) -> tuple[str, int] | None:
        asked.append(line)
        name, _, number = line.partition(b"=")
        return (name.decode(), int(number)) if number else None

    lines = KnownLines(parse)
    assert lines.parse([b"a=1", b"b=2", b"junk"]) == {"a": 1, "b": 2}
    assert lines.parse([b"a=1", b"b=3", b"junk"]) == {"a": 1, "b": 3}
    assert asked == [b"a=1", b"b=2", b"junk", b"b=3"]
    assert lines.parse([b"b=2"]) == {"b": 2}
    assert asked[-1] == b"b=2", "only the last reading is remembered"
