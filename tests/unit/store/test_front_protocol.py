"""What the store's front reads out of requests and bytes, without any engine."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.runtime.settings import Settings
from shared.store.front import reader, statement
from shared.store.front.asked import Credentials, asked, credentials
from shared.store.front.blocks import BlockDecoder, BlockEncoder, empty_native, varint
from shared.store.front.cityhash import cityhash128
from shared.store.front.encodings import accepted, decoder, encoder
from shared.store.front.native import with_revision
from shared.store.front.refusal import EngineRefused, Refused
from shared.store.front.roles import READABLE
from shared.store.front.users import READER, WRITER, Users, users_of
from shared.store.migrate import migrations
from shared.store.refusals import refusal


def test_parameters_settings_and_the_way_are_told_apart() -> None:
    request = asked(
        b"query=SELECT+1&param_a=x%26y&max_threads=2&session_id=7&database=d&client_protocol_version=54460&compress=1",
        {"x-clickhouse-format": "CSV", "x-clickhouse-database": "other"},
    )
    assert (request.query, request.database, request.form) == ("SELECT 1", "d", "CSV")
    assert (request.parameters, request.settings) == ({"a": "x&y"}, {"max_threads": "2"})
    assert (request.revision, request.compress, request.decompress) == (54460, True, False)


def test_a_name_that_cannot_be_a_setting_is_refused() -> None:
    with pytest.raises(Refused, match="no name of a setting"):
        asked(b"max_threads%3D1,readonly=1", {})


@pytest.mark.parametrize(
    ("query", "headers", "expected"),
    [
        (b"user=a&password=b", {}, Credentials("a", "b")),
        (b"", {"x-clickhouse-user": "a", "x-clickhouse-key": "b"}, Credentials("a", "b")),
        (b"", {"authorization": "Basic YTpiOmM="}, Credentials("a", "b:c")),
        (b"", {"authorization": "Basic ???"}, Credentials("", "")),
        (b"", {}, None),
    ],
)
def test_credentials_come_three_ways(query: bytes, headers: dict[str, str], expected: Credentials | None) -> None:
    assert credentials(query, headers) == expected


def test_only_the_right_password_of_a_known_user_opens() -> None:
    users = Users({WRITER: "w", READER: "r"})
    assert users.user_of(Credentials(READER, "r")) == READER
    for wrong in (None, Credentials(READER, "w"), Credentials("x", "w"), Credentials(READER, ""), Credentials("", "")):
        assert users.user_of(wrong) is None


def test_passwords_are_made_once_and_for_their_owner_only(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path, "store": {"reader_password": "given"}})
    first, again = users_of(settings), users_of(settings)
    assert first.made == (WRITER,) and again.made == () and first.passwords == again.passwords
    assert first.passwords[READER] == "given" and "given" not in repr(first)
    assert [file.name for file in tmp_path.iterdir()] == ["store-lapwing.password"]
    assert (tmp_path / "store-lapwing.password").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "head", "form", "data"),
    [
        (b"INSERT INTO t (a, b) FORMAT TSV\n1\t2\n", "INSERT INTO t (a, b) ", "TSV", b"1\t2\n"),
        (b"INSERT INTO t FORMAT Native\n\n\x01", "INSERT INTO t ", "Native", b"\n\x01"),
        (b"insert into `format` format  CSV \r\n\n1", "insert into `format` ", "CSV", b"\n1"),
        (b"INSERT INTO t SETTINGS async_insert=0 FORMAT CSV", "INSERT INTO t |SETTINGS async_insert=0 ", "CSV", b""),
        (b"INSERT INTO t /* FORMAT X */ VALUES (1), (2)", "INSERT INTO t /* FORMAT X */ ", "Values", b" (1), (2)"),
    ],
)
def test_the_data_of_an_insert_begins_where_clickhouse_says(text: bytes, head: str, form: str, data: bytes) -> None:
    insert = statement.insert_of(text)
    into, _, settings = head.partition("|")
    assert insert and (insert.into, insert.settings, insert.form) == (into, settings, form)
    assert text[insert.data_at :] == data


def test_an_insert_from_a_select_has_no_data() -> None:
    assert statement.insert_of(b"INSERT INTO t (a) SELECT 1 FORMAT Null") is None
    with pytest.raises(Refused, match="Syntax error"):
        statement.insert_of(b"INSERT INTO t")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1", ("TabSeparated", True)),
        ("SELECT 1 FORMAT JSON", ("JSON", False)),
        ("SELECT 1\n FORMAT Native;", ("Native", True)),
        ("SELECT 1 FORMAT CSV SETTINGS max_threads = 1", ("CSV", True)),
        ("SELECT 1 FORMAT JSON -- done", ("JSON", False)),
        ("SELECT 'FORMAT', format", ("TabSeparated", False)),
    ],
)
def test_the_format_of_an_answer_decides_whether_it_streams(text: str, expected: tuple[str, bool]) -> None:
    assert statement.format_of(text, "TabSeparated") == expected


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(1, 40), st.sampled_from(["gzip", "lz4", "zstd"]))
def test_any_frames_in_any_pieces_are_all_read(parts: list[bytes], step: int, encoding: str) -> None:
    body = b""
    for part in parts:
        packing = encoder(encoding)
        body += packing.feed(part) + packing.end()
    unpack = decoder(encoding)
    out = b"".join(unpack.feed(body[at : at + step]) for at in range(0, len(body), step)) + unpack.end()
    assert out == b"".join(parts)


def test_what_is_not_the_encoding_it_says_is_refused() -> None:
    with pytest.raises(Refused, match="not gzip"):
        decoder("gzip").feed(b"plainly not")
    cut = decoder("gzip")
    cut.feed(gzip.compress(b"x" * 100)[:-4])
    with pytest.raises(Refused, match="middle of a frame"):
        cut.end()
    with pytest.raises(Refused, match="not known here"):
        decoder("br")


def test_the_first_known_encoding_that_is_accepted_is_taken() -> None:
    assert accepted("br, zstd;q=0, gzip;q=0.5, lz4") == "gzip"
    assert accepted("br") == accepted("") == ""


@given(st.binary(max_size=1000), st.integers(1, 50))
def test_blocks_come_back_in_any_pieces(data: bytes, step: int) -> None:
    packed, unpack = BlockEncoder().feed(data), BlockDecoder()
    assert b"".join(unpack.feed(packed[at : at + step]) for at in range(0, len(packed), step)) + unpack.end() == data


def test_the_hash_is_the_one_clickhouse_writes() -> None:
    """Blocks of a MergeTree's file, made by the engine."""
    for block in _BLOCKS:
        raw = bytes.fromhex(block)
        assert cityhash128(raw[16:]) == raw[:16]


def test_a_newer_client_gets_what_its_revision_adds() -> None:
    block = empty_native([("a", "UInt8")])
    assert with_revision(block, 0) == block
    info = b"\x01\x00\x02\xff\xff\xff\xff\x00"
    assert with_revision(block, 54460) == info + block + b"\0"
    assert with_revision(block, 54400) == info + block


def test_every_length_of_a_column_is_walked_over() -> None:
    def column(name: str, kind: str, data: bytes) -> bytes:
        return b"".join(varint(len(text)) + text.encode() for text in (name, kind)) + data

    columns = [
        ("t", "Tuple(a UInt8, `b c` Nullable(String))", b"\x01\x02" + b"\x00\x01" + b"\x01x\x00"),
        ("m", "Map(String, Array(UInt16))", _u64(1, 1) + b"\x01k" + _u64(2) + b"\x01\x00\x02\x00"),
        ("l", "LowCardinality(Nullable(String))", _u64(1, 1 << 9, 2) + b"\x00\x01x" + _u64(2) + b"\x01\x00"),
        ("e", "Enum8('a,b(' = 1, 'c' = 2)", b"\x01\x02"),
        ("d", "Decimal(20, 3)", bytes(32)),
        ("f", "FixedString(3)", b"abcdef"),
        ("n", "DateTime64(3, 'UTC')", bytes(16)),
    ]
    block = varint(len(columns)) + varint(2) + b"".join(column(*c) for c in columns)
    out = with_revision(block * 2, 54400)
    assert len(out) == 2 * (8 + len(block)) and out.replace(b"\x01\x00\x02\xff\xff\xff\xff\x00", b"") == block * 2
    with pytest.raises(Refused, match="toString"):
        with_revision(varint(1) + varint(1) + column("j", "Dynamic", b""), 54460)


def _u64(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(8, "little") for number in numbers)


@pytest.mark.parametrize(
    "tree",
    [
        "SetRoleQuery",
        "SelectWithUnionQuery (children 1)\n Function file (children 1)",
        "SelectWithUnionQuery (children 1)\n TableExpression (children 1)\n  Function merge (children 1)",
        "SelectWithUnionQuery (children 1)\n TableIdentifier system.processes",
        "SelectWithUnionQuery (children 1)\n TableIdentifier system.processes (alias p)",
        "SelectWithUnionQuery (children 1)\n ColumnsApplyTransformer",
    ],
)
def test_a_tree_with_what_is_not_the_readers_is_refused(tree: str) -> None:
    with pytest.raises(Refused):
        reader.check_tree(tree)


def test_the_readers_time_has_a_bound() -> None:
    assert reader.settings({"max_execution_time": "900"}, 60) == {"max_execution_time": "60"}
    assert reader.settings({"max_execution_time": "0", "readonly": "2"}, 60) == {"max_execution_time": "60"}
    with pytest.raises(Refused, match="Cannot modify"):
        reader.settings({"additional_table_filters": "{}"}, 60)


def test_every_table_is_either_for_the_reader_or_kept_from_it_on_purpose() -> None:
    import re

    secret = {"users", "api_tokens", "keyring", "decisions"}
    made = {
        name
        for migration in migrations()
        for name in re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)[^;]*?ENGINE = (?!Null)", migration.sql)
    }
    landing = {
        name for m in migrations() for name in re.findall(r"TABLE IF NOT EXISTS (\w+)[^;]*?ENGINE = Null", m.sql)
    }
    assert made - landing - set(READABLE) == secret


def test_errors_keep_their_code_and_get_a_status() -> None:
    refused = EngineRefused(RuntimeError("Streaming query failed: Code: 60. DB::Exception: no table. (UNKNOWN_TABLE)"))
    assert (refused.code, refused.status, str(refused)[:8]) == (60, 404, "Code: 60")
    assert EngineRefused(RuntimeError("odd")).code == 1002


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate has expired (_ssl.c)')", "expired"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] Hostname mismatch, certificate is not valid for 'x'", "another name"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate", "SSL_CAFILE"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "does not speak TLS"),
        ("HTTP driver received HTTP status 404, server response: x", "not ClickHouse"),
    ],
)
def test_what_no_waiting_mends_is_for_ever(text: str, words: str) -> None:
    error = refusal(RuntimeError(text), "there:1")
    assert error.permanent and words in str(error)


def test_a_gateway_without_its_clickhouse_is_waited_for() -> None:
    text = "HTTP driver received HTTP status 502, server response: <html>bad gateway</html>"
    assert not refusal(RuntimeError(text), "there:1").permanent


_BLOCKS = [
    "c51955a142fc956d6fa2cfe0d80e1281821200000008000000801300000000000000",
    "f117ea60f11694225cf45e5f5ed1e67382170000001b00000022010001000a0800500000717171",
    "7f324fc693f44b52a6a058901d4cd1cd822700000038000000221300010012140700050800041800040800041800801400000000000000",
    "16a0da7a11b1f443705e6d48ec1e01d38250000000f00000002213000100121407000508000418000408000418000f080005"
    "0428000f0800050438000c20000418000408000c20000410000f2000051b12b8000f280005801300000000000000",
    "acf8e942b9125851dfceaea1c55cb8be829400000089000000f07a3437363131383331373038373330313338313031303537"
    "3733343938343636363335353330373231383139383133353731373230343136373734393936323434363438363435363034"
    "3135393934373736363730393336313735303730323630383135323238353738343039303639373934333530313237343230"
    "3433333333383430383533303332",
    "cd23b46fe8aca80add073030c70e506882ce000000200300002213000100121407000508000418000408000418000f080005"
    "0428000f0800050438000c20000418000408000c20000410000f2000051b12b8000f2800050448000c30000418000408000f"
    "20000d0460000408000438000410000408000f1800050420000408000428000c08000f2000050418000c08000cb8000c2000"
    "0c60000c30000420000f38000d0f2000051b1188010c50000410000f0800150f68000504180004480004c800040800041800"
    "0408000c30000f1000050c1800801300000000000000",
    "39a5a71f27ab15beb932fba86ce2850582e2000000d7000000f0873437363131383331373038373330313338313031303537"
    "3733343938343636363335353330373231383139383133353731373230343136373734393936323434363438363435363034"
    "3135393934373736363730393336313735303730323630383135323238353738343039303639373934333530313237343230"
    "3433333333383430383533303332313333363538313132333238363a00f02e34383831313730303033343535383337343133"
    "353632303434313639333035333933393332363838313738343936373130363336333032303538393831",
]
