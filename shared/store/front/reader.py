"""What the user ``reader`` may ask. The engine's role and ``readonly = 1`` keep it from every table and change; this
keeps it from what the engine lets anybody have: files, other people's queries, and a role of its own choosing.

The engine itself takes the text apart (``EXPLAIN AST``), so what it would read is what is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from shared.store.front.refusal import DENIED, READONLY, Refused

_ROOTS = {
    "SelectWithUnionQuery",
    "SelectIntersectExceptQuery",
    "SelectQuery",
    "DescribeQuery",
    "ExistsTableQuery",
    "ExistsDatabaseQuery",
    "ExistsViewQuery",
    "ShowTables",
    "ShowColumns",
    "ShowIndexes",
    "ShowCreateTableQuery",
    "ShowCreateViewQuery",
    "ShowCreateDatabaseQuery",
    "ShowEngineQuery",
    "ShowFunctions",
    "ShowSetting",
    "Explain",
}
_SYSTEM = {
    "aggregate_function_combinators",
    "asynchronous_metrics",
    "build_options",
    "clusters",
    "collations",
    "columns",
    "contributors",
    "data_type_families",
    "databases",
    "disks",
    "events",
    "formats",
    "functions",
    "keywords",
    "licenses",
    "metrics",
    "numbers",
    "numbers_mt",
    "one",
    "parts",
    "parts_columns",
    "settings",
    "table_engines",
    "table_functions",
    "tables",
    "time_zones",
    "zeros",
    "zeros_mt",
}
"""Of the database ``system``: what tells about tables and the language, not about what others ask or configure."""

_TABLE_FUNCTIONS = {
    "format",
    "generate_series",
    "generaterandom",
    "generateseries",
    "null",
    "numbers",
    "numbers_mt",
    "values",
    "view",
    "zeros",
    "zeros_mt",
}
_FORBIDDEN = {"file", "catboostevaluate", "getserversetting", "sleep", "sleepeachrow", "dictionary", "executable"}
_FORBIDDEN_PREFIX = ("addressto", "demangle", "url_", "ai")
_SETTING = re.compile(
    r"max_execution_time|max_result_(rows|bytes)|result_overflow_mode|max_block_size|max_threads|extremes|limit|offset|"
    r"session_timezone|date_time_(in|out)put_format|join_use_nulls|use_client_time_zone|log_comment|"
    r"output_format_(json|csv|tsv|native|arrow|parquet|pretty|decimal|float)_\w+|"
    r"input_format_\w+|cast_string_to_dynamic_use_inference|allow_experimental_\w+_type|readonly"
)
_NODE = re.compile(r"^( *)(\w+)(?: (.*?))?(?: \(alias .*?\))?(?: \(children \d+\))?$")


def settings(given: Mapping[str, str], seconds: int) -> dict[str, str]:
    """The settings of a request that the reader may have, time within its bound. Raises ``Refused`` for others."""
    out = {}
    for name, value in given.items():
        if name == "readonly":
            if value not in ("1", "2"):
                raise Refused(READONLY, "Cannot modify 'readonly' setting in readonly mode")
            continue
        if not _SETTING.fullmatch(name):
            raise Refused(READONLY, f"Cannot modify '{name}' setting in readonly mode")
        out[name] = value
    if "max_execution_time" in out:
        out["max_execution_time"] = str(_seconds(out["max_execution_time"], seconds))
    return out


def _seconds(text: str, most: int) -> float:
    try:
        value = float(text)
    except ValueError:
        return most
    return value if 0 < value <= most else most


def check_database(name: str) -> None:
    """Within ``system`` a bare name would mean one of its tables."""
    if name.lower() == "system":
        raise Refused(DENIED, "reader: Not enough privileges to use the database system; name its tables in full")


def check(handle: Any, text: str, parameters: Mapping[str, str]) -> None:
    """Asks the engine what ``text`` is. Raises ``Refused``, or what the engine raises where it cannot read it."""
    # Raises on two statements in one text, which EXPLAIN would carry out.
    formatted = handle.query("SELECT formatQuerySingleLine({q:String})", "RawBLOB", params={"q": quoted(text)})
    canonical = bytes(formatted.bytes() or b"").decode("utf-8", errors="replace")
    if re.search(r":\s*Identifier\s*\}", canonical, re.IGNORECASE):
        raise Refused(DENIED, "reader: parameters of type Identifier are for the writer")
    if re.search(r"\b(OUTFILE|INFILE|APPLY)\b", canonical, re.IGNORECASE):
        raise Refused(DENIED, "reader: Not enough privileges for INTO OUTFILE, FROM INFILE and APPLY")
    tree = handle.query(f"EXPLAIN AST {text}", "TSVRaw", params=dict(parameters))
    check_tree(bytes(tree.bytes() or b"").decode(errors="replace"))


def quoted(text: str) -> str:
    """A parameter's value is read as one field of TabSeparated."""
    return (
        text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r").replace("\0", "\\0")
    )


def check_tree(tree: str) -> None:
    """``tree`` is what ``EXPLAIN AST`` printed. Raises ``Refused``."""
    parents: list[str] = []
    for number, line in enumerate(tree.splitlines()):
        found = _NODE.match(line)
        if not found:
            continue  # the rest of a literal with line ends in it
        depth, kind, rest = len(found[1]), found[2], found[3] or ""
        if number == 0 and kind not in _ROOTS:
            raise Refused(DENIED, f"reader: Not enough privileges. Only questions may be asked, not {kind}")
        parent = parents[depth - 1] if 0 < depth <= len(parents) else ""
        parents[depth:] = [kind]
        _check_node(kind, rest.strip(), parent)


def _check_node(kind: str, rest: str, parent: str) -> None:
    name = rest.split(" ")[0].strip("`\"'")
    if kind == "Function":
        lower = name.lower()
        if parent == "TableExpression" and lower not in _TABLE_FUNCTIONS:
            raise Refused(DENIED, f"reader: Not enough privileges for the table function {name}")
        if lower in _FORBIDDEN or lower.startswith(_FORBIDDEN_PREFIX):
            raise Refused(DENIED, f"reader: Not enough privileges for the function {name}")
    elif kind in ("Identifier", "TableIdentifier"):
        lower = name.lower()
        if lower in _FORBIDDEN:
            raise Refused(DENIED, f"reader: Not enough privileges for {name}")
        first, _, second = lower.replace("`", "").partition(".")
        if first == "system" and second.partition(".")[0] not in _SYSTEM:
            raise Refused(DENIED, f"reader: Not enough privileges. Nothing is granted on {lower}")
    elif "Apply" in kind:
        raise Refused(DENIED, f"reader: Not enough privileges for {kind}")
