"""``lapwing train`` as a person uses it, with files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from services.__main__ import main
from services.train import overload
from services.train.shipped import generated
from shared.models import registry

FEW = {"n_estimators": 3.0, "max_depth": 4.0, "min_samples_leaf": 3.0}


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAPWING_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setitem(overload.PARAMETERS, "forest", FEW)  # type: ignore[arg-type]
    return tmp_path / "data"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    data = generated(120)
    lines = [f"{row[0]},{int(label)}" for row, label in zip(data.rows, data.overload, strict=True)]
    (tmp_path / "cpu_overload.csv").write_text("cpu_percent,label\n" + "\n".join(lines))
    return tmp_path / "cpu_overload.csv"


def train(*words: object) -> int:
    return main(["train", *map(str, words)])


def test_from_a_file_to_a_model_in_use(data_dir: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("overload", "--csv", file) == 0
    assert data_dir.stat().st_mode & 0o777 == 0o700
    told = capsys.readouterr().out
    assert told.startswith("120 rows of cpu_percent, ")
    assert "overload svm, version 1\n" in told and "f1 of a threshold of 80" in told
    assert "`lapwing train use overload forest 1` puts it into use" in told
    assert train("use", "overload", "forest", 1) == 0
    assert capsys.readouterr().out == "overload forest: version 1 is in use\n"
    assert train("overload", "--csv", file, "--use") == 0
    assert "overload forest, version 2: in use" in capsys.readouterr().out
    assert train("list") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[:3] for row in rows[1:]] == [["overload", n, v] for n in ("forest", "svm") for v in "12"]
    assert [row[3] == "yes" for row in rows[1:]] == [False, True, False, True]
    assert train("show", "overload", "svm") == 0
    card = json.loads(capsys.readouterr().out)
    assert (card["version"], card["features"], card["about"]["file"]) == (2, ["cpu_percent"], "cpu_overload.csv")
    assert train("use", "overload", "svm", "none") == train("remove", "overload", "svm", 2) == 0
    assert train("list", "frozen") == 0
    assert capsys.readouterr().out.endswith("overload svm 2 is removed\nthere are no models yet; "
                                            "see `lapwing train overload --help`\n")  # fmt: skip


def test_what_is_refused_is_one_clear_line(data_dir: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*words: object) -> str:
        assert train(*words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "either --csv FILE, or --from TIME" in refused("overload")
    assert "either --csv FILE, or --from TIME" in refused("overload", "--csv", file, "--from", "now-1d")
    assert "name it with --csv" in refused("overload", "--from", "now-1d", "--label", "x")
    assert "--to and --host are about stored history" in refused("overload", "--csv", file, "--host", "web-1")
    assert "--from must be earlier" in refused("frozen", "--from", "now")
    assert "cannot read" in refused("overload", "--csv", "none.csv")
    assert "there is no model overload 'svm'; there are none" in refused("show", "overload", "svm")
    file.write_text("cpu,label\n1,0\n2,perhaps\n")
    assert "cpu_overload.csv, line 3: the label is 'perhaps'" in refused("overload", "--csv", file)
    file.write_text("cpu,label\n1,0\n2,1\n")
    assert "1 rows are overload and 1 are not; at least 10" in refused("overload", "--csv", file)
    assert not list(registry.listed(registry.models_dir(data_dir)))


def test_a_poisoned_model_is_not_put_into_use(data_dir: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("overload", "--csv", file)
    (data_dir / "models/overload/svm/1/model.npz").write_bytes(b"\x80\x04evil")
    capsys.readouterr()
    assert train("use", "overload", "svm", 1) == 2
    assert "the model overload svm 1 is refused" in capsys.readouterr().err
    assert train("show", "overload", "svm") == 2
    assert "no version of overload svm is in use" in capsys.readouterr().err
    (data_dir / "models/overload/svm/1/card.json").write_text("{")
    assert train("list") == 0
    assert "refused: its card cannot be read" in capsys.readouterr().out


@pytest.mark.parametrize("version", ["0", "x", "-1", "²", "999999999999"])
@pytest.mark.usefixtures("data_dir")
def test_a_version_is_a_number(version: str) -> None:
    with pytest.raises(SystemExit) as left:
        train("use", "overload", "svm", version)
    assert left.value.code == 2


@pytest.mark.usefixtures("data_dir")
def test_where_scikit_learn_is_not_installed_one_line_says_so(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "services.train.overload")
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    assert train("overload", "--csv", file) == 2
    assert "needs sklearn.svm; the extra `detector` has it" in capsys.readouterr().err
