"""``/api/system/dead_letters/``: for admins, and what ``lapwing dlq`` calls."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.api import listings, messages, parameters, shapes
from services.api.ask import Ask
from services.api.dead_letters import Settled, Wanted
from services.api.errors import bad_parameter, unprocessable
from services.api.responses import ok
from services.api.route import Route
from shared.runtime import times
from shared.schemas.topics import EVENT_TOPICS

Short = Annotated[str, Field(min_length=1, max_length=256)]
Some = Annotated[list[Short], Field(max_length=1000)]
TOPICS = [topic.name for topic in EVENT_TOPICS]
MOST = 10_000

TOPIC = listings.choices("topic", "Topic it came from.", TOPICS)
HOST = listings.HOSTS
STAGE = listings.choices("stage", "Who refused it: its form, its time or the store.", ("decode", "time", "store"))
STATE = listings.choices("state", "`open` unless it says otherwise.", ("open", "retried", "dropped"))
REASON = parameters.words("reason", "Text in the reason, in any case.")
SINCE = parameters.moment("since", "Refused not earlier than this.")
LIMIT = parameters.whole_number("limit", "At most so many letters, and so many counts.", 1, 1000, 100)


class LetterWish(BaseModel):
    """Which letters: ``ids`` (of letters, or ``topic:partition:offset`` of a message), or a filter."""

    model_config = ConfigDict(extra="forbid", strict=True)

    ids: Some = []
    topic: Some = []
    host: Some = []
    stage: Annotated[list[Literal["decode", "time", "store"]], Field(max_length=3)] = []
    reason: Annotated[str, Field(max_length=256)] = ""
    since: Annotated[str, Field(max_length=64)] = ""
    dry_run: bool = False

    def wanted(self, now_ms: int) -> Wanted:
        """Raises ``ApiError`` 422 where nothing is named: everything must be asked for in words."""
        if not (self.ids or self.topic or self.host or self.stage or self.reason or self.since):
            raise unprocessable(messages.NOTHING_NAMED)
        try:
            since_ms = times.moment(self.since, now_ms) if self.since else 0
        except ValueError:
            raise bad_parameter("since", messages.MOMENT) from None
        return Wanted(
            ids=self.ids, topic=self.topic, host=self.host, stage=self.stage, reason=self.reason, since_ms=since_ms
        )


class RetryWish(LetterWish):
    limit: Annotated[int, Field(ge=1, le=MOST)] = 1000


async def letters(ask: Ask) -> Response:
    values = ask.query(TOPIC, HOST, STAGE, STATE, REASON, SINCE, LIMIT)
    topics, stages, states = values[TOPIC], values[STAGE], values[STATE]
    wanted = Wanted(
        topic=topics,
        host=[host for host in values[HOST] if host],
        stage=stages,
        state=states or ["open"],
        reason=values[REASON] or "",
        since_ms=values[SINCE] or 0,
    )
    office = ask.deps.dead_letters
    return ok(
        {
            "items": await office.newest(wanted, values[LIMIT]),
            "counts": await office.counts(wanted, values[LIMIT]),
        },
        ask.language,
    )


async def letter(ask: Ask) -> Response:
    ask.query()
    return ok(await ask.deps.dead_letters.show(ask.path("id")), ask.language)


async def retry(ask: Ask) -> Response:
    ask.query()
    wish = await ask.body(RetryWish)
    wanted = wish.wanted(ask.now_ms)
    settled = await ask.deps.dead_letters.retry(wanted, wish.limit, _who(ask), ask.now_ms, dry_run=wish.dry_run)
    return _answer(ask, settled)


async def drop(ask: Ask) -> Response:
    ask.query()
    wish = await ask.body(LetterWish)
    settled = await ask.deps.dead_letters.drop(wish.wanted(ask.now_ms), _who(ask), ask.now_ms, dry_run=wish.dry_run)
    return _answer(ask, settled)


def _who(ask: Ask) -> str:
    return ask.principal.shown if ask.principal else ""


def _answer(ask: Ask, settled: Settled) -> Response:
    return ok(
        {
            "matched": settled.matched,
            "settled": settled.settled,
            "hopeless": settled.hopeless,
            "left": settled.left,
        },
        ask.language,
    )


_HOST = "4f1d2c3b5a69788796a5b4c3d2e1f001"
_LETTER = {
    "id": "9c0d5e2f41a7b836",
    "failed_at": "2026-02-01T12:00:00Z",
    "topic": TOPICS[0],
    "partition": 2,
    "offset": 4711,
    "line": 1,
    "sent_at": "2026-02-01T12:00:00Z",
    "host_id": _HOST,
    "stage": "decode",
    "reason": "cpu.percent: Input should be less than or equal to 100",
    "bytes": 3402,
    "truncated": False,
    "retry_of": "",
    "state": "open",
    "settled_at": None,
    "settled_by": "",
}
_COUNT = {
    "topic": TOPICS[0],
    "stage": "decode",
    "reason": _LETTER["reason"],
    "host_id": _HOST,
    "letters": 1,
    "first": "2026-02-01T12:00:00Z",
    "last": "2026-02-01T12:00:00Z",
}

ROUTES = [
    Route(
        "GET",
        "/api/system/dead_letters/",
        letters,
        "admin",
        "Lines that could not be stored, newest first, and how many by topic, stage, reason and host",
        "dead letters",
        data=shapes.Letters,
        example={"items": [_LETTER], "counts": [_COUNT]},
        parameters=(TOPIC, HOST, STAGE, STATE, REASON, SINCE, LIMIT),
        refusals=(503,),
    ),
    Route(
        "GET",
        "/api/system/dead_letters/{id}/",
        letter,
        "admin",
        "One of them with its line",
        "dead letters",
        data=shapes.LetterText,
        example=_LETTER | {"value": '{"kind": …', "value_base64": "eyJraW5kIjog4oCm"},
        description="`id`: a letter's, or `topic:partition:offset` of the message it came from.",
        refusals=(404, 409, 503),
    ),
    Route(
        "POST",
        "/api/system/dead_letters/retry/",
        retry,
        "admin",
        "Send open letters to their topics once more",
        "dead letters",
        data=shapes.SettledShape,
        example={"matched": 12, "settled": 11, "hopeless": 1, "left": 0},
        body=RetryWish,
        body_example={"stage": ["time"], "since": "now-1d", "dry_run": False, "limit": 1000},
        description="`hopeless`: cut or empty lines, which no retry can help. `left`: more than `limit`; call again.",
        refusals=(409, 503),
    ),
    Route(
        "POST",
        "/api/system/dead_letters/drop/",
        drop,
        "admin",
        "Be done with open letters",
        "dead letters",
        data=shapes.SettledShape,
        example={"matched": 12, "settled": 12, "hopeless": 1, "left": 0},
        body=LetterWish,
        body_example={"ids": ["9c0d5e2f41a7b836"], "dry_run": False},
        refusals=(503,),
    ),
]
