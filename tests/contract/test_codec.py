"""The pydantic models and their msgspec twins are one language: what one reads, refuses or understands, so does the
other. Where they are known to differ is listed once, in ``only_one_reads``, and nowhere else.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ValidationError

from shared.schemas import codec
from shared.schemas.alert import Alert, Attention
from shared.schemas.anomaly import Anomaly, HostScore
from shared.schemas.base import Event
from shared.schemas.codec import BadLine, Decoder, encode, explain, pack
from shared.schemas.export import EVENTS
from shared.schemas.sample import HostSample
from tests.support.samples import host_sample
from tests.support.strategies import events

KINDS: tuple[type[Event], ...] = tuple(EVENTS)
EVERY_KIND = Decoder(*KINDS)

quick = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
each_kind = pytest.mark.parametrize("model", KINDS, ids=lambda model: model.__name__)


def plain(value: Any) -> Any:
    """Models and twins as dictionaries, so that they can be compared."""
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields if name != "kind"}
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return value


def by_pydantic(line: bytes, model: type[Event]) -> Any:
    try:
        return plain(model.model_validate_json(line))
    except ValidationError:
        return None


def by_twin(line: bytes, decoder: Decoder[Any]) -> Any:
    try:
        return plain(decoder.line(line))
    except (ValueError, RecursionError):
        return None


class TestWhatIsValid:
    @each_kind
    def test_reads_the_same_in_both_and_is_what_was_written(self, model: type[Event]) -> None:
        @quick
        @given(events(model))
        def proof(event: Event) -> None:
            line = encode(event)
            assert b"\n" not in line
            read = model.model_validate_json(line)
            assert read == event
            assert plain(Decoder(model).line(line)) == plain(read)
            assert plain(EVERY_KIND.line(line)) == plain(read)

        proof()

    @each_kind
    def test_survives_being_written_as_a_dictionary(self, model: type[Event]) -> None:
        @quick
        @given(events(model))
        def proof(event: Event) -> None:
            assert model.model_validate_json(encode(event.model_dump())) == event

        proof()

    @each_kind
    def test_comes_back_from_a_packed_message_in_order(self, model: type[Event]) -> None:
        @settings(quick, max_examples=8)
        @given(st.lists(events(model), max_size=4))
        def proof(written: list[Event]) -> None:
            value = pack(encode(event) for event in written)
            assert [plain(read) for read in Decoder(model).lines(value)] == [plain(event) for event in written]

        proof()

    @each_kind
    def test_lengths_are_counted_in_characters_by_both(self, model: type[Event]) -> None:
        line = minimal(model)
        for text, fits in (("😀" * 128, True), ("😀" * 129, False), ("é" * 128, True), ("", False)):
            changed = json.dumps({**line, "event_id": text}, ensure_ascii=False).encode()
            assert (by_pydantic(changed, model) is not None) == fits
            assert (by_twin(changed, Decoder(model)) is not None) == fits


# What a line may be changed into. Raw text, because half of it has no Python value.
WORDS = r"""
null true false 0 -0 -0.0 1 -1 1.0 1e3 1E+2 0.5 -0.5 100.00000000000001 101 64 65535 65536 4294967296 253402300799999
253402300800000 9223372036854775807 9223372036854775808 18446744073709551615 18446744073709551616
1000000000000000000000000000000 1e308 1e309 -1e309 1e-400 NaN Infinity -Infinity 01 1. .5 +1 - 1e tru nul
"" "x" "1" "firing" "open" "sample" "score" "\ud800" "\udc00\ud800" "\ud83d\ude00" "\u0000" "\x" "\u12"
[] {} [null] [[]] [0] [0.5] [true] [{}] {"":0} {"a":null} {"a":"b"} {"a":1.5} {"a":-1}
"""
LONG = ['"' + "x" * 5000 + '"', "1" * 400, "0." + "1" * 400, "[" * 150 + "]" * 150]
JUNK = [*WORDS.split(), '"a\tb"', '"\u2028"', *LONG]


@st.composite
def spoiled(draw: st.DrawFn, model: type[Event]) -> bytes:
    """A valid line with one thing wrong, or different, somewhere in it."""
    tree = json.loads(encode(draw(events(model))))
    containers = [c for c in walk(tree) if c]
    where = draw(st.sampled_from(containers))
    key = draw(st.sampled_from(sorted(where) if isinstance(where, dict) else range(len(where))))
    change = draw(st.sampled_from(["drop", "replace", "replace", "replace", "add"]))
    if change == "drop":
        del where[key]
    elif change == "replace":
        where[key] = MARK
    elif isinstance(where, dict):
        where[draw(st.sampled_from(["", "zz", "Kind", "ts ", "event_id\0", "😀"]))] = MARK
    else:
        where.append(MARK)
    text = json.dumps(tree, ensure_ascii=draw(st.booleans()))
    return text.replace(f'"{MARK}"', draw(st.sampled_from(JUNK))).encode()


MARK = "the-place-that-changes"


def walk(tree: Any) -> list[Any]:
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else []
    return [tree, *(c for part in inner for c in walk(part))] if isinstance(tree, dict | list) else []


def only_one_reads(line: bytes) -> bool:
    """The whole of the known difference: repeated keys, and odd text, which matters only under unknown keys."""
    odd = False

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal odd
        odd |= len({k for k, _ in items}) < len(items)
        return dict(items)

    def constant(_: str) -> None:
        nonlocal odd
        odd = True

    try:
        text = line.decode()
        json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except UnicodeDecodeError:
        return True
    except (ValueError, RecursionError):
        pass  # not JSON at all, deeper or longer than Python's own limits: the two agree, but for the depth
    return odd or deepest(line) > 200 or any(len(n) > 4300 for n in _numbers(text))


def deepest(line: bytes) -> int:
    depth = most = 0
    for byte in line:
        depth += (byte in b"[{") - (byte in b"]}")
        most = max(most, depth)
    return most


def _numbers(text: str) -> list[str]:
    return "".join(c if c.isdigit() else " " for c in text).split()


def agree(line: bytes, model: type[Event]) -> Any:
    """Reads ``line`` with both, insists on the same outcome, and returns it."""
    pydantic, twin, union = by_pydantic(line, model), by_twin(line, Decoder(model)), by_twin(line, EVERY_KIND)
    assert pydantic == twin, line[:3000]
    if pydantic is not None and "kind" in json.loads(line):
        assert pydantic == union, line[:3000]
    return pydantic


class TestWhatIsWrong:
    @each_kind
    def test_is_refused_by_both_or_read_the_same_by_both(self, model: type[Event]) -> None:
        outcomes = set()

        @settings(quick, max_examples=60)
        @given(spoiled(model))
        def proof(line: bytes) -> None:
            assume(not only_one_reads(line))
            outcomes.add(agree(line, model) is None)

        proof()
        assert outcomes == {True, False}, "the changes must not all be harmless, nor all fatal"

    @each_kind
    def test_broken_bytes_are_broken_for_both(self, model: type[Event]) -> None:
        @settings(quick, max_examples=60)
        @given(st.data())
        def proof(data: st.DataObject) -> None:
            line = bytearray(json.dumps(minimal(model)).encode())
            for _ in range(data.draw(st.integers(1, 3))):
                at = data.draw(st.integers(0, len(line) - 1))
                line[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2) | st.sampled_from(BYTES))
            assume(not only_one_reads(bytes(line)))
            agree(bytes(line), model)

        proof()

    @each_kind
    def test_every_required_field_is_required_by_both(self, model: type[Event]) -> None:
        line = minimal(model)
        for name, field in model.model_fields.items():
            without = json.dumps({k: v for k, v in line.items() if k != name}).encode()
            assert (agree(without, model) is None) == field.is_required(), name

    @each_kind
    def test_null_stands_for_optional_fields_only(self, model: type[Event]) -> None:
        for name, field in model.model_fields.items():
            nulled = json.dumps({**minimal(model), name: None}).encode()
            assert (agree(nulled, model) is None) == (type(None) not in getattr(field.annotation, "__args__", ())), name

    @each_kind
    def test_unknown_keys_are_a_newer_writer_and_are_passed_over(self, model: type[Event]) -> None:
        line = minimal(model)
        newer = json.dumps({**line, "schema_version": 2, "added_later": {"deep": [1, {"er": None}]}}).encode()
        read = agree(newer, model)
        assert read is not None and read["schema_version"] == 2

    @pytest.mark.parametrize(
        "line",
        [b"", b" ", b"null", b"7", b'"x"', b"[]", b"{}", b"\xef\xbb\xbf{}", b"\x00", b"{", b"}", b"\xff\xfe", b"{}{}"],
    )
    def test_what_is_no_event_is_none_for_both(self, line: bytes) -> None:
        for model in KINDS:
            assert agree(line, model) is None

    @pytest.mark.parametrize("depth", [201, 990, 5_000, 200_000])
    def test_nesting_that_would_break_a_reader_is_refused_with_the_field_named(self, depth: int) -> None:
        line = (
            json.dumps(minimal(HostScore)).replace("{", '{"metrics": ' + "[" * depth + "]" * depth + ", ", 1).encode()
        )
        assert agree(line, HostScore) is None
        (bad,) = Decoder(HostScore).lines(line)
        assert isinstance(bad, BadLine) and bad.reason


BYTES = [
    b"\x00",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\xc0\xaf",
    b'"',
    b"\\",
    b"{",
    b"}",
    b",",
    b"\t",
    b"\r",
    b"e",
    b"-",
]


class TestTheKnownDifference:
    """Changing one of these is progress, not a fault: then say so in ``codec``'s docstring as well."""

    @staticmethod
    def line(**more: str) -> bytes:
        text = json.dumps(minimal(HostScore))
        return (text[:-1] + "".join(f', "{k}": {v}' for k, v in more.items()) + "}").encode("utf-8", "surrogateescape")

    @pytest.mark.parametrize(
        ("odd", "pydantic_reads"),
        [
            (b"NaN", True),
            (b"-Infinity", True),
            (b'"\xff"', False),
            (b"[" * 201 + b"]" * 201, False),
            (b"1" * 4301, False),
        ],
    )
    def test_odd_text_under_an_unknown_key(self, odd: bytes, pydantic_reads: bool) -> None:
        line = self.line(unknown="HERE").replace(b"HERE", odd)
        assert only_one_reads(line)
        assert (by_pydantic(line, HostScore) is not None) == pydantic_reads
        assert (by_twin(line, Decoder(HostScore)) is not None) == (not pydantic_reads)

    @pytest.mark.parametrize(("field", "odd"), [("host", b'"\xff"'), ("score", b"NaN"), ("score", b"1" * 4301)])
    def test_the_same_text_in_a_known_field_is_refused_by_both(self, field: str, odd: bytes) -> None:
        line = self.line(**{field: "HERE"}).replace(b"HERE", odd)
        assert agree(line, HostScore) is None

    def test_of_a_repeated_key_the_last_value_counts(self) -> None:
        assert agree(self.line(ts="5"), HostScore)["ts"] == 5
        assert agree(self.line(ts='"x"'), HostScore) is None

    def test_of_a_repeated_key_the_twin_checks_the_earlier_values_too(self) -> None:
        line = b'{"ts": "x", ' + self.line()[1:]
        assert by_pydantic(line, HostScore) is not None
        assert by_twin(line, Decoder(HostScore)) is None

    def test_an_event_without_kind_is_read_where_only_one_kind_is_expected(self) -> None:
        line = json.dumps({k: v for k, v in minimal(HostScore).items() if k != "kind"}).encode()
        assert agree(line, HostScore) is not None
        (bad,) = EVERY_KIND.lines(line)
        assert isinstance(bad, BadLine) and "kind" in bad.reason


class TestLines:
    GOOD = encode(host_sample(event_id="a"))

    def test_a_bad_line_costs_only_itself(self) -> None:
        other = encode(host_sample(event_id="b"))
        value = pack([self.GOOD, b"garbage \xff\x00", b"", other, b'{"kind": "sample"}', b"  \r", self.GOOD])
        read = list(Decoder(HostSample).lines(value))
        assert [r.number if isinstance(r, BadLine) else r.event_id for r in read] == ["a", 2, "b", 5, "a"]
        assert read[1].line == b"garbage \xff\x00"

    def test_a_message_of_nothing_holds_no_events(self) -> None:
        for value in (b"", b"\n", b"\n\n \r\n"):
            assert list(Decoder(HostSample).lines(value)) == []

    def test_windows_line_ends_are_line_ends(self) -> None:
        assert len(list(Decoder(HostSample).lines(self.GOOD + b"\r\n" + self.GOOD + b"\r\n"))) == 2

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"cpu": {"percent": 101}}, "cpu.percent: "),
            ({"cpu": {"per_core": [1, "x"]}}, "cpu.per_core.1: "),
            ({"host_id": ""}, "host_id: "),
            ({"disks": [{"device": "sda"}]}, "disks.0.mountpoint: Field required"),
            ({"labels": {"role": 3}}, "labels.role: "),
            ({"ts": "yesterday"}, "ts: "),
        ],
    )
    def test_the_reason_names_the_field(self, change: dict[str, Any], named: str) -> None:
        for decoder in (Decoder(HostSample), EVERY_KIND):
            (bad,) = decoder.lines(encode(host_sample(**change)))
            assert isinstance(bad, BadLine)
            assert named in bad.reason

    def test_a_line_of_another_kind_is_refused_by_its_kind(self) -> None:
        (bad,) = Decoder(HostScore, Anomaly).lines(self.GOOD)
        assert isinstance(bad, BadLine) and "kind" in bad.reason and "sample" in bad.reason

    def test_a_reason_stays_short_whatever_the_line(self) -> None:
        long = "x" * 100_000
        for line in (
            json.dumps({**minimal(HostScore), "kind": long}),
            json.dumps({**minimal(HostScore), "metrics": {long: None}}),
            json.dumps({**minimal(HostSample), "labels": {str(n) + long: 0 for n in range(9)}}),
        ):
            for decoder in (EVERY_KIND, Decoder(HostScore), Decoder(HostSample)):
                (bad,) = decoder.lines(line.encode())
                assert isinstance(bad, BadLine)
                assert 0 < len(bad.reason) <= 500

    def test_several_faults_are_told_together_and_counted(self) -> None:
        reason = explain(b"{}", Anomaly)
        assert reason.count(": Field required") == 5
        assert reason.endswith("; and 4 more")

    def test_a_sentence_of_ours_is_said_without_pydantics_before_it(self) -> None:
        assert explain(b'{"name": "x"}', Picky) == "name: must be another"

    def test_nothing_is_said_of_a_good_line(self) -> None:
        assert explain(self.GOOD, HostSample) == ""


def _refuse(_: str) -> str:
    raise ValueError("must be another")


class Picky(BaseModel):
    name: Annotated[str, AfterValidator(_refuse)]


class TestEncode:
    def test_absent_sections_are_left_out(self) -> None:
        sample = HostSample.model_validate_json(encode(host_sample(gpus=None)))
        assert b'"gpus"' not in encode(sample)
        assert b'"gpus"' not in encode({**host_sample(), "gpus": None})

    def test_text_that_is_not_unicode_does_not_cost_the_event(self) -> None:
        sample = host_sample()
        sample["processes"]["top"][0]["cmdline"] = ["caf\udce9", "ok"]
        sample["labels"] = {"na\udcffme": "v"}
        read = Decoder(HostSample).line(encode(sample))
        assert read.processes and read.processes.top[0].cmdline == ["caf?", "ok"]
        assert read.labels == {"na?me": "v"}

    def test_a_number_that_is_none_becomes_null_and_is_refused_not_guessed(self) -> None:
        (bad,) = Decoder(HostSample).lines(encode(host_sample(load={"load1": math.nan})))
        assert isinstance(bad, BadLine) and "load.load1" in bad.reason


def test_a_twin_is_frozen_and_keeps_no_shared_defaults() -> None:
    line = json.dumps(minimal(HostScore)).encode()
    first, second = Decoder(HostScore).line(line), Decoder(HostScore).line(line)
    first.metrics["a"] = 1.0
    assert second.metrics == {}
    with pytest.raises(AttributeError):
        first.score = 3.0  # type: ignore[misc]


def test_every_bound_of_the_models_is_known_to_the_codec() -> None:
    """A bound that ``codec`` does not translate would be checked by one of the two only."""
    for model in KINDS:
        for name, field in model.model_fields.items():
            unknown = [m for m in field.metadata if not isinstance(m, tuple(codec._BOUNDS))]
            assert unknown == [], (model.__name__, name)


def minimal(model: type[Event]) -> dict[str, Any]:
    """The least that is an event of this kind."""
    known = {
        "event_id": "e1", "ts": 1_800_000_000_000, "host_id": "h1", "host": "web-1", "source": "sshd", "message": "m",
        "score": 0.5, "anomaly_id": "a1", "alert_id": "a1", "fingerprint": "f", "state": "open", "peak_score": 1.5,
        "started_at": 1, "rule": "r", "previous_state": "inactive", "severity": "warning", "notification_id": "n",
        "receiver": "r", "channel": "webhook", "status": "firing", "alert_ids": [], "attempt": 1,
        "outcome": "delivered", "id": "i", "matchers": [{"name": "rule", "value": "cpu"}], "starts_at": 1,
        "ends_at": 2, "author": "ada", "verdict": "real",
        "target": "https://hooks.example.org", "expires_at": 3,
    }  # fmt: skip
    if model is Alert:
        known["state"] = "firing"
    if model is Attention:
        known["state"] = "active"
    fields = model.model_fields
    return {"kind": fields["kind"].default} | {n: known[n] for n, f in fields.items() if f.is_required()}
