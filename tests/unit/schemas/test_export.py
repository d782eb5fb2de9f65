"""The generated pages say what the code says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shared.runtime import settings_doc
from shared.runtime.settings import describe, is_secret
from shared.schemas import export
from shared.schemas.base import Event
from shared.schemas.metrics import BY_NAME, CATALOGUE
from shared.schemas.sample import HostSample
from shared.schemas.topics import ALL_TOPICS, EVENT_TOPICS

ROOT = Path(__file__).parents[3]


def test_the_settings_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == settings_doc.page(), "run `make schemas`"


def test_the_settings_page_names_every_setting_and_which_are_secrets() -> None:
    page = settings_doc.page()
    for variable, _, _ in describe():
        assert f"| `{variable}`" in page
        assert (
            (f"| `{variable}` or `…_FILE` |" in page)
            == is_secret(variable)
            == variable.endswith(("PASSWORD", "TOKEN", "SECRET"))
        )


def test_every_event_kind_is_exported() -> None:
    assert set(export.EVENTS) == set(Event.__subclasses__())
    assert len({export.kind_of(model) for model in export.EVENTS}) == len(export.EVENTS)


def test_writing_removes_what_is_no_longer_generated(tmp_path: Path) -> None:
    directory = tmp_path / "docs" / "schemas"
    directory.mkdir(parents=True)
    (directory / "gone.v1.json").write_text("{}")
    export.main([str(directory)])
    assert {p.name for p in directory.iterdir()} == {f"{export.kind_of(m)}.v1.json" for m in export.EVENTS}
    sample = json.loads((directory / "sample.v1.json").read_text())
    assert "kind" in sample["required"] and sample["properties"]["kind"]["const"] == "sample"
    assert "`cpu.percent`" in (tmp_path / "docs" / "metrics.md").read_text()


@pytest.mark.parametrize("arguments", [[], ["a", "b"]])
def test_a_call_without_a_place_says_how(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match=r"usage: python -m shared.schemas.export DIRECTORY"):
        export.main(arguments)
    with pytest.raises(SystemExit, match=r"usage: python -m shared.runtime.settings_doc FILE"):
        settings_doc.main(arguments)


def test_every_metric_has_one_name_and_stands_somewhere_in_the_event() -> None:
    assert len(BY_NAME) == len(CATALOGUE)
    sections = export.json_schema(HostSample)
    defs = sections["$defs"]

    def of(schema: dict) -> dict:
        for option in [schema, *schema.get("anyOf", [])]:
            if "$ref" in option:
                return defs[option["$ref"].rsplit("/", 1)[1]]
            if "items" in option:
                return of(option["items"])
        return schema

    for metric in CATALOGUE:
        assert metric.unit and metric.description and metric.name.count(".") == 1
        assert metric.name == metric.name.lower()
        if metric.section == "score":
            continue
        place = of(sections["properties"][metric.section])
        if metric.section == "gpus":
            place = of(place["properties"]["devices"])
        if metric.label:
            assert metric.label in place["properties"], metric.name
        for part in metric.field.split("."):
            assert part in place["properties"], metric.name
            place = of(place["properties"][part])


def test_topics_are_those_of_the_contract() -> None:
    assert [t.name for t in EVENT_TOPICS] == [f"lapwing.{n}.v1" for n in ("metrics", "logs", "anomalies", "alerts")]
    assert {t.name for t in ALL_TOPICS} == {
        *(t.name for t in EVENT_TOPICS),
        *(f"{t.name}.dlq" for t in EVENT_TOPICS),
        "lapwing.control.v1",
        "lapwing.states.v1",
    }
    assert [t.name for t in ALL_TOPICS if t.compacted] == ["lapwing.control.v1", "lapwing.states.v1"]
