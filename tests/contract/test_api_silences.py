"""Silences: made, changed, ended, listed; and what of them is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api import matchers, silences
from shared.alerting.matching import parts, written
from shared.runtime.settings import Settings
from shared.schemas.control import Matcher
from tests.support.api import Api, running_api
from tests.support.samples import T0
from tests.support.store import fresh_store
from tests.support.wire import Wire, wire

__all__ = ["fresh_store", "wire"]

HOUR = 3_600_000
DAY = 24 * HOUR
PATH = "/api/system/silences/"
GOOD: dict[str, Any] = {"matchers": ['host="web-1"'], "duration": "2h"}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as it:
        yield it


async def add(api: Api, **more: Any) -> Any:
    return await api.data(PATH, method="POST", who="operator", body=GOOD | more)


async def refused(api: Api, body: Any, method: str = "POST", path: str = PATH) -> str:
    status, message = await api.refused(path, method=method, who="operator", body=body, accept_language="en")
    assert status == 422, message
    assert len(message) < 400
    return message


async def test_a_silence_is_told_and_kept_as_it_was_meant(api: Api, wire: Wire) -> None:
    made = await add(api, matchers=['host=~"web-.*"', {"name": "severity", "value": "critical", "is_equal": False}])
    assert (made["state"], made["author"]) == ("active", "operator")
    assert (made["starts_at"], made["ends_at"]) == ("2027-01-15T08:00:00Z", "2027-01-15T10:00:00Z")
    ((key, event),) = wire.told
    assert key == f"silence:{made['id']}"
    assert event["matchers"] == [
        {"name": "host", "value": "web-.*", "is_regex": True, "is_equal": True},
        {"name": "severity", "value": "critical", "is_regex": False, "is_equal": False},
    ]
    assert await api.data(f"{PATH}{made['id']}/") == made
    assert await api.data(PATH) == [made]


async def test_it_is_pending_active_and_over_by_the_clock_and_forgotten_days_later(api: Api, wire: Wire) -> None:
    made = await add(api, starts_at="2027-01-15T09:00:00Z", duration="1h")
    path = f"{PATH}{made['id']}/"

    async def state() -> str:
        return str((await api.data(path, who=await api.login("viewer")))["state"])

    assert await state() == "pending"
    api.clock.advance(3600)
    assert await state() == "active"
    api.clock.advance(3600)
    assert await state() == "expired"
    who = await api.login("operator")
    (listed,) = await api.data(PATH, who=who)
    assert listed["state"] == "expired"
    assert await api.data(f"{PATH}?state=active&state=pending", who=who) == []
    body = GOOD | {"starts_at": "2027-01-15T12:00:00Z"}
    assert (await api.refused(path, method="PUT", who=who, body=body))[0] == 409
    api.clock.advance(5 * 86_400)
    who = await api.login("operator")
    assert await api.data(PATH, who=who) == []
    await api.data(PATH, method="POST", who=who, body=GOOD)
    assert (f"silence:{made['id']}", None) in wire.told


async def test_it_can_be_changed_and_ended_and_stays_in_the_list(api: Api, wire: Wire) -> None:
    made = await add(api)
    path = f"{PATH}{made['id']}/"
    api.clock.advance(60)
    body = {"matchers": ['host="web-2"'], "ends_at": "2027-01-15T12:00:00Z", "comment": "longer"}
    changed = await api.data(path, method="PUT", who="admin", body=body)
    assert (changed["id"], changed["starts_at"]) == (made["id"], made["starts_at"])
    assert (changed["ends_at"], changed["author"], changed["comment"]) == ("2027-01-15T12:00:00Z", "admin", "longer")
    ended = await api.data(path, method="DELETE", who="operator")
    assert (ended["state"], ended["ends_at"]) == ("expired", "2027-01-15T08:01:00Z")
    assert await api.data(PATH) == [ended]
    assert await api.data(path, method="DELETE", who="operator") == ended, "once more changes nothing"
    assert [key for key, _ in wire.told] == [f"silence:{made['id']}"] * 3
    later = await add(api, starts_at="2027-01-16T08:00:00Z", duration="1h")
    gone = await api.data(f"{PATH}{later['id']}/", method="DELETE", who="operator")
    assert gone["starts_at"] == gone["ends_at"] == "2027-01-15T08:01:00Z"


async def test_viewers_look_and_operators_act(api: Api, wire: Wire) -> None:
    made = await add(api)
    path = f"{PATH}{made['id']}/"
    await api.data(PATH, who="viewer")
    for method, where in (("POST", PATH), ("PUT", path), ("DELETE", path)):
        body = None if method == "DELETE" else GOOD
        assert (await api.refused(where, method=method, who="viewer", body=body))[0] == 403
    for method in ("GET", "PUT", "DELETE"):
        body = GOOD if method == "PUT" else None
        status, message = await api.refused(f"{PATH}nope%27%22/", method=method, who="operator", body=body)
        assert (status, "nope" in message) == (404, True)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"matchers": []}, "matchers"),
        ({"matchers": None}, "matchers"),
        ({"matchers": ['a="b"'] * 1000}, "matchers"),
        ({"matchers": ["nonsense"]}, "matchers.0"),
        ({"matchers": ['="x"']}, "matchers.0"),
        ({"matchers": ['a="b'] }, "matchers.0"),
        ({"matchers": [{"name": "", "value": "x"}]}, "matchers.0.name"),
        ({"matchers": [{"name": "a'; DROP", "value": "x"}]}, "matchers.0.name"),
        ({"matchers": [{"name": "a", "value": "x" * 1025}]}, "matchers.0.value"),
        ({"matchers": [{"name": "a", "value": "x", "odd": 1}]}, "odd"),
        ({"matchers": ['a=~"("']}, "matchers.0"),
        ({"matchers": ['a=~"(?=a)b"']}, "matchers.0"),
        ({"matchers": ['a=~"' + "x" * 600 + '"']}, "matchers.0"),
        ({"matchers": ['a=~".*"']}, "matchers"),
        ({"matchers": ['a!="b"', 'c=""']}, "matchers"),
        ({"comment": "x" * 4097}, "comment"),
        ({"duration": "-2h"}, "duration"),
        ({"duration": "2 hours"}, "duration"),
        ({"duration": None}, "ends_at"),
        ({"ends_at": "2027-01-15T12:00:00Z"}, "ends_at"),
        ({"duration": None, "ends_at": "2027-01-15T08:00:00Z"}, "ends_at"),
        ({"duration": None, "ends_at": "2026-01-15T08:00:00Z"}, "ends_at"),
        ({"duration": None, "ends_at": "2099-01-15T08:00:00Z"}, "ends_at"),
        ({"starts_at": "yesterday"}, "starts_at"),
        ({"starts_at": 5}, "starts_at"),
        ({"author": "somebody else"}, "author"),
    ],
)  # fmt: skip
async def test_what_cannot_be_a_silence_is_refused_by_name(api: Api, wire: Wire, change: Any, name: str) -> None:
    assert name in await refused(api, GOOD | change)
    assert wire.told == []


async def test_ten_megabytes_are_refused_before_they_are_read(api: Api, wire: Wire) -> None:
    answer = await api.ask(PATH, method="POST", who="operator", body=GOOD | {"comment": "x" * 10_000_000})
    assert answer.status_code == 413


async def test_a_real_store_gives_back_hostile_words_as_they_were(fresh_store: Settings) -> None:
    words = "'; DROP TABLE decisions; -- <script>alert(1)</script> {key:String} \r\nX: y 🦤"
    async with running_api(fresh_store) as api:
        api.deps.decisions.open(Wire())
        made = await add(api, matchers=[{"name": "host", "value": words}], comment=words)
        assert (made["comment"], made["matchers"][0]["value"]) == (words, words)
        other = await add(api)
        assert {s["id"] for s in await api.data(PATH)} == {made["id"], other["id"]}
        assert await api.data(f"{PATH}{made['id']}/") == made
        assert await silences.listed(api.deps.decisions, T0 + 6 * DAY) == []


async def test_there_may_not_be_any_number(api: Api, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silences, "MOST_STANDING", 2)
    first, _ = await add(api), await add(api)
    assert (await api.refused(PATH, method="POST", who="operator", body=GOOD))[0] == 409
    await api.data(f"{PATH}{first['id']}/", method="PUT", who="operator", body=GOOD)
    await api.data(f"{PATH}{first['id']}/", method="DELETE", who="operator")
    await add(api)


async def test_what_could_not_be_told_is_told_at_the_next_start(api: Api, wire: Wire) -> None:
    wire.away = True
    assert (await api.refused(PATH, method="POST", who="operator", body=GOOD))[0] == 503
    (kept,) = await api.data(PATH)
    wire.away = False
    await api.deps.decisions.tell_again()
    assert [key for key, _ in wire.told] == [f"silence:{kept['id']}"]


# -- matchers ---------------------------------------------------------------------------------------------------------

NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_.]{0,10}", fullmatch=True)


@given(name=NAMES, value=st.text(max_size=30), is_regex=st.booleans(), is_equal=st.booleans())
def test_what_is_written_is_read_as_it_was(name: str, value: str, is_regex: bool, is_equal: bool) -> None:
    matcher = Matcher(name=name, value=value, is_regex=is_regex, is_equal=is_equal)
    assert Matcher(**parts(written(matcher))) == matcher


def test_matchers_that_hold_for_nothing_hold_for_everything() -> None:
    assert matchers.mean_everything([Matcher(name="a", value="b", is_equal=False)])
    assert not matchers.mean_everything([Matcher(name="a", value="b"), Matcher(name="c", value="")])


def test_a_silence_ends_at_its_very_end() -> None:
    kept = {"starts_at": T0, "ends_at": T0 + DAY}
    assert [silences.state(kept, t) for t in (T0 - 1, T0, T0 + DAY - 1, T0 + DAY)] == [
        "pending", "active", "active", "expired",
    ]  # fmt: skip
