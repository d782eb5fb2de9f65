"""``POST /api/ingest/``: events of agents that cannot reach the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.responses import Response

from services.api import messages, shapes
from services.api.ask import Ask
from services.api.errors import ApiError, forbidden, too_many, unprocessable
from services.api.parameters import shortened
from services.api.responses import ok
from services.api.route import RawBody, Route
from services.api.unpack import Unpacker
from shared.runtime.selfmetrics import API_POSTED
from shared.schemas.topics import SPOOLED_HEADER

if TYPE_CHECKING:
    from services.api.posted import Posted

PATH = "/api/ingest/"
BODY_WITHIN = 60.0  # seconds
LARGE = 64 << 10  # bytes: from here on a batch is sorted off the loop
BAD_BODY_COSTS = 100  # events, of what a token may post


async def ingest(ask: Ask) -> Response:
    ask.query()
    intake, clock, principal = ask.deps.intake, ask.deps.clock, ask.principal
    if principal is None or principal.kind != "token":
        raise forbidden(messages.FORBIDDEN.of(needs="ingest"))
    who = principal.name
    if seconds := intake.buckets.wait(who, clock.monotonic()):
        raise too_many(messages.INGEST_LIMITED.of(seconds=seconds), seconds)
    with intake.room.held() as held:
        try:
            body = await _body(ask, held.grow_to)
        except ApiError as error:
            if error.status in (400, 413):
                intake.buckets.charge(who, clock.monotonic(), BAD_BODY_COSTS)
            raise
        now_ms = clock.now_ms()
        sort = intake.sorter.sort
        posted = sort(body, now_ms) if len(body) < LARGE else await asyncio.to_thread(sort, body, now_ms)
        if not posted.lines:
            raise unprocessable(messages.EMPTY_BATCH)
        if principal.host_id:
            _only_of(principal.host_id, posted)
        if seconds := intake.buckets.take(who, clock.monotonic(), posted.lines):
            API_POSTED.add(posted.lines, "limited")
            raise too_many(messages.INGEST_LIMITED.of(seconds=seconds), seconds)
        try:
            await intake.publish(posted.messages, spooled=ask.header(SPOOLED_HEADER.encode()) == "1")
        except BaseException:
            intake.buckets.charge(who, clock.monotonic(), -posted.lines)  # it will come again
            raise
    API_POSTED.add(posted.accepted, "accepted")
    API_POSTED.add(posted.rejected_count, "rejected")
    rejected = [{"line": r.line, "reason": r.reason} for r in posted.rejected]
    return ok(
        {"accepted": posted.accepted, "rejected_count": posted.rejected_count, "rejected": rejected}, ask.language
    )


async def _body(ask: Ask, holds: Callable[[int], None]) -> bytes:
    """Unpacked. A body that is refused is heard out first (it is bounded): a client cut off while it sends would not
    hear why.
    """
    unpacker = Unpacker(ask.header(b"content-encoding"), ask.deps.settings.api.ingest_max_bytes)
    refusal: ApiError | None = None

    def feed(chunk: bytes) -> None:
        nonlocal refusal
        if refusal is None:
            try:
                unpacker.feed(chunk)
                holds(unpacker.size)
            except ApiError as error:
                refusal = error

    await ask.read(feed, BODY_WITHIN)
    if refusal is not None:
        raise refusal
    return unpacker.finish()


def _only_of(host_id: str, posted: Posted) -> None:
    """Raises ``ApiError`` 403."""
    others = posted.hosts - {host_id}
    if others:
        raise forbidden(messages.TOKEN_OF_ANOTHER_HOST.of(own=host_id, other=shortened(min(others))))


_LINE = (
    '{"schema_version":1,"event_id":"4f1d2c3b-1769947200000","ts":1769947200000,"kind":"sample",'
    '"host_id":"4f1d2c3b5a69788796a5b4c3d2e1f001","host":"web-1","seq":7,"cpu":{"count":4,"percent":23.4}}\n'
)

ROUTES = [
    Route(
        "POST",
        PATH,
        ingest,
        "ingest",
        "Hand in a batch of events",
        "agents",
        data=shapes.Ingested,
        example={
            "accepted": 1,
            "rejected_count": 1,
            "rejected": [{"line": 2, "reason": "ts: Input should be a valid integer"}],
        },
        raw_body=RawBody("application/x-ndjson", _LINE),
        description="One event a line: `HostSample` or `LogEvent`, see `docs/schemas`. For API tokens with the scope "
        "`ingest` only; one that was made for one host may hand in that host's events only. Packed or not: "
        "`Content-Encoding` is `zstd`, `gzip` or `identity`. Success means that the broker has every accepted event; "
        "`rejected` says of the first hundred of the others why they will never be taken. `Lapwing-Spooled: 1` marks "
        "events that waited. After 429 and 503 try again, not sooner than `Retry-After` says: an event that comes "
        "twice is kept once.",
        refusals=(400, 408, 413, 415, 429, 503),
    )
]
