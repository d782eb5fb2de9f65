"""The wire is the real API: what was written once must be read for ever.

``golden/v1/`` holds lines of schema version 1 as they were first written. They are never regenerated; a new field gets
a new file (``<kind>.<what>.json``). ``docs/schemas/`` holds what writers were promised.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared.schemas.codec import Decoder, encode
from shared.schemas.export import EVENTS, files, json_schema, kind_of

GOLDEN = Path(__file__).parent / "golden" / "v1"
ROOT = Path(__file__).parents[2]
MODELS = {kind_of(model): model for model in EVENTS}
LINES = sorted(GOLDEN.glob("*.json"))


def test_every_kind_has_a_full_and_a_minimal_line() -> None:
    names = {path.name for path in LINES}
    assert {f"{kind}.{size}.json" for kind in MODELS for size in ("full", "minimal")} <= names


@pytest.mark.parametrize("path", LINES, ids=lambda path: path.stem)
def test_old_bytes_still_mean_what_they_meant(path: Path) -> None:
    line = path.read_bytes().rstrip(b"\n")
    old: dict[str, Any] = json.loads(line)
    model = MODELS[path.name.split(".")[0]]
    event = model.model_validate_json(line)
    assert within(old, json.loads(encode(event))), "a value changed or vanished on the way through"
    twin = Decoder(*EVENTS).line(line)
    for name, value in old.items():
        if name != "kind" and not isinstance(value, dict | list):
            assert getattr(twin, name) == value


@pytest.mark.parametrize("kind", MODELS)
def test_the_full_line_uses_every_field_that_existed_then(kind: str) -> None:
    """Fields added since are listed in the schema only; nothing else may be missing here."""
    full = json.loads((GOLDEN / f"{kind}.full.json").read_bytes())
    minimal = json.loads((GOLDEN / f"{kind}.minimal.json").read_bytes())
    required = {name for name, field in MODELS[kind].model_fields.items() if field.is_required()}
    assert set(minimal) == required | {"kind"}
    assert set(minimal) < set(full) <= set(MODELS[kind].model_fields)


def within(old: Any, new: Any) -> bool:
    """Everything in ``old`` is in ``new`` with the same value; ``new`` may say more."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(k in new and within(v, new[k]) for k, v in old.items())
    if isinstance(old, list):
        return isinstance(new, list) and len(old) == len(new) and all(map(within, old, new))
    return type(old) is type(new) and old == new


class TestPromisedSchemas:
    @pytest.mark.parametrize("path", files(ROOT / "docs" / "schemas"), ids=lambda path: path.name)
    def test_are_up_to_date(self, path: Path) -> None:
        wanted = files(ROOT / "docs" / "schemas")[path]
        assert path.is_file() and path.read_text() == wanted, f"{path.name} is stale: run `make schemas`"

    def test_no_other_file_poses_as_one(self) -> None:
        directory = ROOT / "docs" / "schemas"
        assert set(directory.glob("*.json")) <= set(files(directory))

    @pytest.mark.parametrize("path", sorted((GOLDEN / "schemas").glob("*.json")), ids=lambda path: path.stem)
    def test_nothing_that_was_promised_is_taken_back(self, path: Path) -> None:
        model = MODELS[path.stem]
        assert breaks(json.loads(path.read_text()), json_schema(model)) == []

    def test_every_kind_was_promised(self) -> None:
        assert {path.stem for path in (GOLDEN / "schemas").glob("*.json")} == set(MODELS)


def breaks(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What a writer who kept to ``old`` would trip over in ``new``, and what a reader of ``old`` would miss."""
    faults: list[str] = []
    _compare(old, new, old.get("$defs", {}), new.get("$defs", {}), "event", faults)
    return faults


_CEILINGS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_FLOORS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")


def _compare(
    old: dict[str, Any], new: dict[str, Any], olds: dict[str, Any], news: dict[str, Any], at: str, faults: list[str]
) -> None:
    old = olds[old["$ref"].rsplit("/", 1)[1]] if "$ref" in old else old
    new = news[new["$ref"].rsplit("/", 1)[1]] if "$ref" in new else new
    if old.get("type") != new.get("type") or old.get("const") != new.get("const"):
        faults.append(f"{at}: another type")
    if missing := set(old.get("enum", [])) - set(new.get("enum", [])):
        faults.append(f"{at}: no longer {sorted(missing)}")
    for bound in _CEILINGS:
        if new.get(bound, float("inf")) < old.get(bound, float("inf")):
            faults.append(f"{at}: {bound} is lower")
    for bound in _FLOORS:
        if new.get(bound, float("-inf")) > old.get(bound, float("-inf")):
            faults.append(f"{at}: {bound} is higher")
    for name in set(new.get("required", [])) - set(old.get("required", [])):
        faults.append(f"{at}.{name}: newly required")
    for name, part in old.get("properties", {}).items():
        if name not in new.get("properties", {}):
            faults.append(f"{at}.{name}: gone")
        else:
            _compare(part, new["properties"][name], olds, news, f"{at}.{name}", faults)
    for key in ("items", "additionalProperties"):
        if isinstance(old.get(key), dict):
            _compare(old[key], new.get(key, {}), olds, news, f"{at}[]", faults)
    for number, option in enumerate(old.get("anyOf", [])):
        options = new.get("anyOf", [])
        if number >= len(options):
            faults.append(f"{at}: an alternative is gone")
        else:
            _compare(option, options[number], olds, news, at, faults)


class TestTheComparison:
    """It must see what it is there for."""

    OLD = json_schema(MODELS["sample"])

    def changed(self, change: Any) -> list[str]:
        new = json.loads(json.dumps(self.OLD))
        change(new)
        return breaks(self.OLD, new)

    def test_a_field_removed(self) -> None:
        assert self.changed(lambda s: s["properties"].pop("seq")) == ["event.seq: gone"]

    def test_a_field_renamed_deep_inside(self) -> None:
        def rename(schema: dict[str, Any]) -> None:
            fields = schema["$defs"]["MemoryInfo"]["properties"]
            fields["rss_bytes"] = fields.pop("rss")

        assert self.changed(rename) == ["event.processes.top[].memory_info.rss: gone"]

    def test_a_field_newly_required(self) -> None:
        assert self.changed(lambda s: s["$defs"]["Disk"]["required"].append("read_only")) == [
            "event.disks[].read_only: newly required"
        ]

    @pytest.mark.parametrize(("field", "bound", "value"), [("host", "maxLength", 64), ("ts", "minimum", 5)])
    def test_a_bound_made_tighter(self, field: str, bound: str, value: int) -> None:
        (fault,) = self.changed(lambda s: s["properties"][field].update({bound: value}))
        assert fault.startswith(f"event.{field}: {bound} is ")

    def test_a_type_changed(self) -> None:
        assert self.changed(lambda s: s["properties"]["seq"].update(type="string")) == ["event.seq: another type"]

    def test_an_optional_field_added_is_welcome(self) -> None:
        assert self.changed(lambda s: s["properties"].update(extra={"type": "string", "default": ""})) == []
