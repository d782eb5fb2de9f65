"""Anomalies, alerts and logs: what they look like, what they can be filtered and sorted by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from services.api import parameters
from services.api.paging import Cursor
from services.api.parameters import Parameter, Repeated, Values
from services.api.queries import Queries
from services.api.statements import statement
from shared.runtime import times


def _plain(value: Any) -> Any:
    return value


def _instant(ms: int | None) -> str | None:
    return None if ms is None else times.iso(ms)


def _json_list(text: str) -> Any:
    try:
        return msgspec.json.decode(text) if text else []
    except ValueError:
        return []


def _mapping(value: Mapping[str, str]) -> dict[str, str]:
    return dict(value)


def _episode(state: str) -> str:
    """An anomaly that was updated is still open."""
    return "open" if state == "update" else state


@dataclass(frozen=True)
class Field:
    name: str
    sql: str
    read: Callable[[Any], Any] = _plain


@dataclass(frozen=True)
class Filter:
    """``clause`` holds where the parameter was given; it binds the value under the parameter's own name."""

    parameter: Parameter[Any]
    clause: str


@dataclass(frozen=True)
class Sort:
    """``bound`` is a cursor's key in the column's own type."""

    column: str
    bound: str
    key: Callable[[Sequence[Any]], float]


@dataclass(frozen=True)
class Listing:
    table: str
    id: str
    fields: tuple[Field, ...]
    filters: tuple[Filter, ...]
    sorts: Mapping[str, Sort]
    always: str = "1"
    usual: Mapping[str, str] = field(default_factory=dict)
    """Parameter -> the clause that holds where it was not given."""
    view: str = ""
    """What is read instead of the table, where the table alone does not know all."""

    @property
    def source(self) -> str:
        return self.view or f"{self.table} FINAL"

    @property
    def columns(self) -> list[str]:
        return [f.name for f in self.fields]

    def shape(self, row: Sequence[Any]) -> dict[str, Any]:
        return {f.name: f.read(value) for f, value in zip(self.fields, row, strict=False)}

    def index(self, name: str) -> int:
        return self.columns.index(name)


@dataclass(frozen=True)
class Page:
    items: list[dict[str, Any]]
    next_cursor: str | None


async def page(
    queries: Queries, listing: Listing, given: Mapping[str, Any], sort: str, limit: int, after: Cursor | None
) -> Page:
    """``given``: values of the filters that are in force, by parameter name. Raises ``ApiError`` 503."""
    order = listing.sorts[sort.removeprefix("-")]
    descending = sort.startswith("-")
    clauses = [listing.always, *(f.clause for f in listing.filters if f.parameter.name in given)]
    clauses += [clause for name, clause in listing.usual.items() if name not in given]
    bound: dict[str, Any] = {**given, "limit": limit + 1}
    if after is not None:
        sign = "<" if descending else ">"
        clauses.append(f"({order.column}, {listing.id}) {sign} ({order.bound}, {{after_id:String}})")
        bound |= {"after_key": after.key if "Float" in order.bound else int(after.key), "after_id": after.id}
    rows = await queries.rows(_question(listing, clauses, order.column, descending=descending), bound)
    more = len(rows) > limit
    rows = rows[:limit]
    last = rows[-1] if more else None
    cursor = Cursor(sort, order.key(last), last[listing.index("id")]).written() if last else None
    return Page([listing.shape(r) for r in rows], cursor)


async def newest(
    queries: Queries, listing: Listing, clauses: Sequence[str], bound: Mapping[str, Any], limit: int
) -> list[dict[str, Any]]:
    """Those for which every clause holds, by the listing's first sort, the greatest first. Raises ``ApiError`` 503."""
    column = next(iter(listing.sorts.values())).column
    rows = await queries.rows(_question(listing, clauses, column, descending=True), {**bound, "limit": limit})
    return [listing.shape(row) for row in rows]


def _question(listing: Listing, clauses: Sequence[str], sort: str, *, descending: bool) -> str:
    return statement(
        "list",
        columns=", ".join(f.sql for f in listing.fields),
        source=listing.source,
        filters=" AND ".join(f"({c})" for c in clauses),
        sort=sort,
        id=listing.id,
        direction="DESC" if descending else "ASC",
    )


def given(values: Values, listing: Listing) -> dict[str, Any]:
    """The filters a request sets."""
    found = {f.parameter.name: values[f.parameter] for f in listing.filters}
    return {name: value for name, value in found.items() if value is not None and value != []}


def _at(column: str) -> str:
    return f"toUnixTimestamp64Milli({column})"


def choices(name: str, description: str, choices: Sequence[str]) -> Repeated[str]:
    return Repeated(_required(parameters.one_of(name, description, choices, choices[0])))


def _required(one: Parameter[str]) -> Parameter[str]:
    one.schema.pop("default", None)
    return one


def _texts(name: str, description: str) -> Repeated[str | None]:
    return Repeated(parameters.words(name, description))


HOSTS = _texts("host", "Name or id of a host.")
FROM = parameters.moment("from", "Not older than this.")
TO = parameters.moment("to", "Not newer than this.")
SEVERITY = choices("severity", "Severity.", ("info", "warning", "critical"))
_HOST_CLAUSE = "host_id IN {host:Array(String)} OR host IN {host:Array(String)}"
_INSTANT_KEY = "fromUnixTimestamp64Milli({after_key:Int64}, 'UTC')"
_OVERLAP = (
    Filter(FROM, "ended_at IS NULL OR ended_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')"),
    Filter(TO, "started_at <= fromUnixTimestamp64Milli({to:Int64}, 'UTC')"),
)

ANOMALIES = Listing(
    table="anomalies",
    id="anomaly_id",
    fields=(
        Field("id", "anomaly_id"),
        Field("host_id", "host_id"),
        Field("host", "host"),
        Field("labels", "labels", _mapping),
        Field("state", "state", _episode),
        Field("finding", "finding"),
        Field("severity", "severity"),
        Field("score", "score"),
        Field("peak_score", "peak_score"),
        Field("started_at", _at("started_at"), _instant),
        Field("updated_at", _at("updated_at"), _instant),
        Field("ended_at", _at("ended_at"), _instant),
        Field("summary", "summary"),
        Field("contributions", "contributions", _json_list),
        Field("top_processes", "top_processes", _json_list),
        Field("evidence", "evidence", _mapping),
    ),
    filters=(
        Filter(HOSTS, _HOST_CLAUSE),
        Filter(
            choices("state", "`open` or `close`.", ("open", "close")),
            "has({state:Array(String)}, if(state = 'update', 'open', state))",
        ),
        Filter(SEVERITY, "severity IN {severity:Array(String)}"),
        Filter(_texts("finding", "Kind of anomaly."), "finding IN {finding:Array(String)}"),
        Filter(
            parameters.number("min_score", "Peak score of at least this.", 0, 1e9), "peak_score >= {min_score:Float64}"
        ),
        *_OVERLAP,
    ),
    sorts={
        "started_at": Sort("started_at", _INSTANT_KEY, lambda r: float(r[9])),
        "peak_score": Sort("peak_score", "{after_key:Float64}", lambda r: float(r[8])),
    },
)

_TRUTHS = ("true", "false")
ALERTS = Listing(
    table="alerts",
    view="v_alerts",
    id="alert_id",
    fields=(
        Field("id", "alert_id"),
        Field("fingerprint", "fingerprint"),
        Field("host_id", "host_id"),
        Field("host", "host"),
        Field("rule", "rule"),
        Field("state", "state"),
        Field("severity", "severity"),
        Field("labels", "labels", _mapping),
        Field("annotations", "annotations", _mapping),
        Field("started_at", _at("started_at"), _instant),
        Field("updated_at", _at("updated_at"), _instant),
        Field("ended_at", _at("ended_at"), _instant),
        Field("value", "value"),
        Field("threshold", "threshold"),
        Field("summary", "summary"),
        Field("reason", "reason"),
        Field("anomaly_id", "anomaly_id"),
        Field("condition", "condition"),
        Field("attention_reason", "attention_reason"),
        Field("attention_by", "attention_by", list),
        Field("attention_until", _at("attention_until"), _instant),
    ),
    filters=(
        Filter(HOSTS, _HOST_CLAUSE),
        Filter(
            choices(
                "state",
                "State as it is shown; without it all but `inactive`, which never lasted long enough to be an alert.",
                ("inactive", "pending", "firing", "resolved", "suppressed", "acknowledged", "flapping"),
            ),
            "state IN {state:Array(String)}",
        ),
        Filter(SEVERITY, "severity IN {severity:Array(String)}"),
        Filter(_texts("rule", "Name of a rule."), "rule IN {rule:Array(String)}"),
        Filter(
            parameters.optional_one_of("active", "`true`: what is pending or fires; `false`: the rest.", _TRUTHS),
            "(condition IN ('pending', 'firing')) = ({active:String} = 'true')",
        ),
        Filter(
            _texts("receiver", "Name of a receiver that was told of it."),
            "alert_id IN (SELECT arrayJoin(alert_ids) FROM deliveries"
            " WHERE receiver IN {receiver:Array(String)} AND outcome = 'delivered')",
        ),
        *_OVERLAP,
    ),
    sorts={"started_at": Sort("started_at", _INSTANT_KEY, lambda r: float(r[9]))},
    usual={"state": "state != 'inactive'"},
)

LOGS = Listing(
    table="logs",
    id="event_id",
    fields=(
        Field("id", "event_id"),
        Field("ts", _at("ts"), _instant),
        Field("host_id", "host_id"),
        Field("host", "host"),
        Field("level", "level"),
        Field("source", "source"),
        Field("message", "message"),
        Field("fields", "fields", _mapping),
    ),
    filters=(
        Filter(HOSTS, _HOST_CLAUSE),
        Filter(
            choices("level", "Level.", ("debug", "info", "warning", "error", "critical")),
            "level IN {level:Array(String)}",
        ),
        Filter(_texts("source", "Who wrote it."), "source IN {source:Array(String)}"),
        Filter(
            parameters.words("q", "Text in the message, in any case."),
            "positionCaseInsensitiveUTF8(message, {q:String}) > 0",
        ),
        Filter(FROM, "ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')"),
        Filter(TO, "ts <= fromUnixTimestamp64Milli({to:Int64}, 'UTC')"),
    ),
    sorts={"ts": Sort("ts", _INSTANT_KEY, lambda r: float(r[1]))},
)
