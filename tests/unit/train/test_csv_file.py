"""A labelled CSV as people have them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.train import csv_file
from services.train.csv_file import parse
from services.train.labelled import Labelled, TrainError


def read(text: str, **more: object) -> Labelled:
    return parse(text.encode(), "cpu.csv", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "cpu_percent,label\n12.5,0\n97,1\n",
        "\ufeffcpu_percent,label\r\n12.5,0\r\n97,1\r\n",
        "CPU_Percent ; Label\n12,5;0\n97;1\n",
        "cpu_percent\tlabel\n12,5\t0\n97,0\t1",
        "cpu_percent,label\n\n12.5%,normal\n ,\n97 %,OVERLOAD\n",
        'cpu_percent,label\n"12.5","no"\n"97","yes"\n',
        "label,cpu_percent\nFalse,12.5\nTrue,97\n",
        "timestamp,cpu_percent,host,overload\n2026-01-01T00:00:00Z,12.5,web-1,0\n2026-01-01T00:00:01Z,97,web-1,1\n",
        ",ts,cpu_percent,is_overload\n0,1767225600,12.5,0\n1,1767225601,97,1\n",
        "cpu_percent,verdict\n12.5,0\n97,1\n",
    ],
)
def test_many_ways_to_write_the_same(text: str) -> None:
    found = read(text)
    assert found.features == ("cpu_percent",)
    assert found.rows.tolist() == [[12.5], [97.0]]
    assert found.overload.tolist() == [False, True]
    assert found.group is None


def test_without_a_header_the_last_column_is_the_label() -> None:
    assert read("12.5,0\n97,1\n").features == ("value",)
    found = read("2026-01-01,12.5,40,0\n2026-01-02,97,50,1\n")
    assert found.features == ("value2", "value3")
    assert found.rows.tolist() == [[12.5, 40.0], [97.0, 50.0]]


def test_columns_can_be_named() -> None:
    text = "a,b,c,bad\n1,2,3,0\n4,5,6,1\n"
    assert read(text).features == ("a", "b", "c")
    found = read(text, values=["C", "a", "c"], label=" BAD ")
    assert found.features == ("c", "a") and found.rows.tolist() == [[3.0, 1.0], [6.0, 4.0]]
    assert found.about == {"file": "cpu.csv", "label": "bad"}


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ("", {}, "cpu.csv: there is nothing in it"),
        ("\n \n", {}, "there is nothing in it"),
        ("cpu,label\n", {}, "nothing below its header"),
        ("cpu,label\n1,0\nx,1\n", {}, "cpu.csv, line 3: 'cpu' is 'x', which is no number"),
        ("cpu,label\n1,0\n,1\n", {}, "line 3: 'cpu' is ''"),
        ("cpu,label\n1,0\nnan,1\n", {}, "line 3: 'cpu' is 'nan'"),
        ("cpu,label\n1,0\n1e999,1\n", {}, "line 3"),
        ("cpu,label\n1,0\n1_000,1\n", {}, "line 3: 'cpu' is '1_000'"),
        ("cpu,label\n1,0\n١,1\n", {}, "line 3"),
        ("cpu,label\n1,0\n\n1,2\n", {}, "line 4: the label is '2'; 0 or 1, normal or overload"),
        ("cpu,label\n1,-1\n", {}, "line 2: the label is '-1'"),
        ("cpu,label\n1,0\n1,0,0\n", {}, "line 3: 3 cells instead of 2"),
        ("cpu,label\n1,0\n1\n", {}, "line 3: 1 cells instead of 2"),
        ("cpu\n1\n", {}, "no column of numbers beside the label; it has 'cpu'"),
        ("name,label\na,0\n", {}, "no column of numbers"),
        ("cpu,cpu,label\n1,2,0\n", {}, "two columns have the same name"),
        ("cpu,label\n1,0\n", {"label": "bad"}, "--label: no column 'bad'; it has 'cpu', 'label'"),
        ("cpu,label\n1,0\n", {"values": ["mem"]}, "--value: no column 'mem'"),
        ("cpu,cpu,label\n1,2,0\n", {"values": ["cpu"]}, "--value: two columns are called 'cpu'"),
        ("cpu,label\n1,0\n", {"values": ["label"]}, "'label' cannot be both"),
        ("1,0\n", {"label": "x"}, "line 1: columns are named, and there is no header"),
        ('cpu,label\n1,0\n"' + "1" * 200_000 + '",1\n', {}, "line 3: field larger"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_line(text: str, more: dict[str, object], said: str) -> None:
    with pytest.raises(TrainError) as refused:
        read(text, **more)
    assert said in str(refused.value)


def test_bytes_that_are_no_text_are_refused_with_their_line() -> None:
    with pytest.raises(TrainError, match=r"cpu.csv, line 3: this is not UTF-8 text"):
        parse(b"cpu,label\n1,0\n\xff,1\n", "cpu.csv")


def test_a_file_that_is_not_there_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrainError, match=r"cannot read .*No such file"):
        csv_file.read(tmp_path / "none.csv")
    with pytest.raises(TrainError, match=r"cannot read .*directory"):
        csv_file.read(tmp_path)
    (tmp_path / "a.csv").write_text("cpu,label\n1,0\n2,1\n")
    assert len(csv_file.read(tmp_path / "a.csv").rows) == 2
    monkeypatch.setattr(csv_file, "MOST_ROWS", 1)
    with pytest.raises(TrainError, match=r"a.csv, line 3: more than 1 rows"):
        csv_file.read(tmp_path / "a.csv")
    monkeypatch.setattr(csv_file, "MOST_BYTES", 5)
    with pytest.raises(TrainError, match="larger than"):
        csv_file.read(tmp_path / "a.csv")


NUMBERS = st.floats(-1e15, 1e15, allow_nan=False)


@given(
    st.lists(st.tuples(NUMBERS, NUMBERS, st.booleans()), min_size=1, max_size=8),
    st.sampled_from(",;\t"),
    st.sampled_from(["0 1", "false true", "Normal Overload", "no YES"]),
    st.booleans(),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
)
def test_every_table_comes_back(
    table: list[tuple[float, float, bool]], separator: str, words: str, header: bool, newline: str
) -> None:
    lines = [separator.join((repr(a), repr(b), words.split()[label])) for a, b, label in table]
    found = read(newline.join([separator.join(("a", "b", "label"))] * header + lines))
    assert found.rows.tolist() == [[a, b] for a, b, _ in table]
    assert found.overload.tolist() == [label for *_, label in table]


@given(st.binary(max_size=200) | st.text(alphabet="01,;.\t\n\r\"'x%-e \x00", max_size=80).map(str.encode))
def test_whatever_it_is_it_is_read_or_refused_in_one_line(data: bytes) -> None:
    try:
        found = parse(data, "x.csv")
    except TrainError as refused:
        assert str(refused).startswith("x.csv") and "\n" not in str(refused)
    else:
        assert len(found.rows) == len(found.overload) > 0
        assert all(math.isfinite(n) for n in found.rows.ravel())
