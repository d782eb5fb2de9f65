"""``python -m tests``: what ``make test`` says, and what it ends with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.__main__ import ALONE, in_turn

GOOD = "def test_good(): pass\n"
BAD = """
import pytest
def test_bad(): assert not "as it should be"
class TestMore:
    @pytest.mark.parametrize("n", [1, 2])
    def test_inside(self, n): assert n == 1
@pytest.fixture
def broken(): raise OSError
def test_not_begun(broken): pass
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_good.py").write_text(GOOD)
    (tmp_path / "test_bad.py").write_text(BAD)
    return tmp_path


def test_every_part_runs_whatever_became_of_those_before_and_the_last_lines_say_what_failed(
    files: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert in_turn(["test_bad.py"], ["no_such_file.py"], ["test_good.py"]) == 1
    said = capfd.readouterr().out
    assert "1 passed" in said
    assert said.splitlines()[-5:] == [
        "FAILED test_bad.py::test_bad",
        "FAILED test_bad.py::TestMore::test_inside[2]",
        "FAILED test_bad.py::test_not_begun",
        "pytest test_bad.py: status 1",
        "pytest no_such_file.py: status 4",
    ]


def test_when_all_have_passed_it_says_so(files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert in_turn(["test_good.py"]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == "every test has passed"


def test_what_the_first_part_leaves_out_is_there_for_the_second() -> None:
    root = Path(__file__).parents[2]
    assert [path for path in ALONE if not (root / path).exists()] == []
