"""Receivers that are entered, what of them is shown and what is refused; trying one; and who would get what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.api import shapes
from services.api.receivers import masked
from shared.alerting.public_addresses import is_public
from shared.alerting.quiet_hours import is_quiet
from shared.runtime.settings import Settings
from shared.runtime.times import instant
from shared.schemas.control import QuietHours
from shared.schemas.topics import ALERTS
from shared.store.clickhouse import open_store
from tests.support.alerting import alert, attention, delivery, matcher, put, setup
from tests.support.api import Api, MemoryStore, running_api, type_of
from tests.support.samples import host_sample
from tests.support.store import fresh_store
from tests.support.wire import Wire, wire

__all__ = ["fresh_store", "wire"]

PATH = "/api/system/receivers/"
HOOK: dict[str, Any] = {"name": "night shift", "channel": "webhook", "target": "https://hooks.example.org/T0/B0/x"}
NAMES = {
    "hooks.example.org": ["93.184.215.14"],
    "two.example.org": ["93.184.215.14", "10.0.0.1"],
    "inside.example.org": ["192.168.1.5"],
    "localhost": ["127.0.0.1", "::1"],
    "2130706433": ["127.0.0.1"],
    "0x7f.1": ["127.0.0.1"],
}


async def resolve(host: str) -> list[str]:
    return NAMES.get(host.lower(), [host] if host.replace(".", "").isdigit() or ":" in host else [])


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as it:
        it.deps.resolve = resolve
        yield it


async def enter(api: Api, **more: Any) -> Any:
    return await api.data(PATH, method="POST", who="operator", body=HOOK | more)


async def test_a_receiver_is_told_whole_and_shown_without_its_secrets(api: Api, wire: Wire) -> None:
    secrets = {"secret": "s3cret", "headers": {"Authorization": "Bearer t0ken"}}
    shown = await enter(api, matchers=['severity="critical"'], **secrets)
    type_of(shown, shapes.ReceiverShape)
    ((key, event),) = wire.told
    assert key == "receiver:night shift"
    assert (event["target"], event["secret"]) == (HOOK["target"], "s3cret")
    assert event["headers"] == {"Authorization": "Bearer t0ken"}
    assert event["matchers"] == [matcher("severity", "critical")]
    assert (shown["target"], shown["signed"], shown["headers"]) == (
        "https://hooks.example.org/***", True, ["Authorization"],
    )  # fmt: skip
    api.told("setup:alerter", setup())
    answer = await api.ask(PATH)
    for secret in ("s3cret", "t0ken", "B0", "/secret"):
        assert secret not in answer.text
    assert [r["name"] for r in answer.json()["data"]] == ["dba", "night shift", "ops", "pager"]
    assert await api.data(f"{PATH}night%20shift/") == shown


@pytest.mark.parametrize(
    ("channel", "target", "shown"),
    [
        ("webhook", "https://hooks.example.org/T0,B0/s3cret", "https://hooks.example.org/***"),
        ("apprise", "slack://T0/B0/x?footer=a,s3cret", "slack://***"),
    ],
)
async def test_a_comma_in_an_address_ends_no_secret(
    api: Api, wire: Wire, channel: str, target: str, shown: str
) -> None:
    assert (await enter(api, channel=channel, target=target))["target"] == shown
    assert "s3cret" not in (await api.ask(PATH)).text


async def test_it_can_be_changed_and_removed_but_not_what_a_file_says(api: Api, wire: Wire) -> None:
    api.told("setup:alerter", setup())
    await enter(api)
    changed = await enter(api, channel="email", target="a@example.org, b@example.org")
    assert (changed["channels"], changed["target"]) == (["email"], "a@example.org, b@example.org")
    assert (await api.data(f"{PATH}night%20shift/", method="DELETE", who="operator"))["name"] == "night shift"
    assert wire.told[-1] == ("receiver:night shift", None)
    assert (await api.refused(f"{PATH}night%20shift/", method="DELETE", who="operator"))[0] == 404
    assert (await api.refused(f"{PATH}pager/", method="DELETE", who="operator"))[0] == 409
    assert (await api.refused(PATH, method="POST", who="operator", body=HOOK | {"name": "pager"}))[0] == 409
    assert (await api.refused(PATH, method="POST", who="viewer", body=HOOK))[0] == 403
    assert (await api.refused(f"{PATH}pager/test/", method="POST", who="viewer"))[0] == 403


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"name": "<script>"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a\r\nBcc: x"}, "name"),
        ({"channel": "pigeon"}, "channel"),
        ({"target": ""}, "target"),
        ({"target": "x" * 5000}, "target"),
        ({"target": "ftp://hooks.example.org/"}, "target"),
        ({"target": "https://user:pw@hooks.example.org/"}, "target"),
        ({"target": "https://hooks.example.org/a b"}, "target"),
        ({"target": "https://hooks.example.org/\r\nX: y"}, "target"),
        ({"target": "https://nowhere.example.org/"}, "target"),
        ({"target": "https://localhost/"}, "target"),
        ({"target": "http://127.0.0.1:8000/"}, "target"),
        ({"target": "http://169.254.169.254/latest/meta-data"}, "target"),
        ({"target": "http://10.0.0.1/"}, "target"),
        ({"target": "http://[::1]/"}, "target"),
        ({"target": "http://[::ffff:10.0.0.1]/"}, "target"),
        ({"target": "http://[::1/"}, "target"),
        ({"target": "https://hooks.example.org:99999/"}, "target"),
        ({"target": "https://hooks.example.org:0/"}, "target"),
        ({"target": "http://2130706433/"}, "target"),
        ({"target": "http://0x7f.1/"}, "target"),
        ({"target": "https://inside.example.org/"}, "target"),
        ({"target": "https://two.example.org/"}, "target"),
        ({"channel": "email", "target": "nobody"}, "target"),
        ({"channel": "email", "target": "a@b.org\nBcc: c@d.org"}, "target"),
        ({"channel": "email", "target": "a@example.org,"}, "target"),
        ({"channel": "apprise", "target": "nonsense"}, "target"),
        ({"channel": "apprise", "target": "json://localhost/x"}, "target"),
        ({"channel": "apprise", "target": "ntfy://10.1.2.3/topic"}, "target"),
        ({"channel": "apprise", "target": "mailto://u:p@hooks.example.org?smtp=127.0.0.1"}, "target"),
        ({"channel": "apprise", "target": "slack://a/b/c?avatar=http://127.0.0.1/x"}, "target"),
        ({"channel": "apprise", "target": "syslog://"}, "target"),
        ({"channel": "apprise", "target": "dbus://"}, "target"),
        ({"channel": "apprise", "target": "ntfys://hooks.example.org/ops"}, "target"),
        ({"channel": "apprise", "target": "mailto://u:p@gmail.example"}, "target"),
        ({"channel": "apprise", "target": "https://hooks.slack.com/services/T0/B0/x"}, "target"),
        ({"headers": {"Host": "x"}}, "headers"),
        ({"headers": {"X": "a\r\nY: b"}}, "headers"),
        ({"headers": {"X-Lapwing-Signature": "t=1,v1=0"}}, "headers"),
        ({"headers": {"a b": "c"}}, "headers"),
        ({"headers": {f"x{i}": "y" for i in range(30)}}, "headers"),
        ({"matchers": ['a=~"(?=a)"']}, "matchers"),
        ({"secret": "x" * 2000}, "secret"),
        ({"author": "x"}, "author"),
    ],
)
async def test_what_cannot_or_may_not_be_a_receiver_is_refused_by_name(
    api: Api, wire: Wire, change: Any, name: str
) -> None:
    status, message = await api.refused(PATH, method="POST", who="operator", body=HOOK | change, accept_language="en")
    assert status == 422 and name in message, message
    assert "Value error" not in message, "nobody asked who says so"
    assert wire.told == []


@pytest.mark.parametrize("target", ["slack://T0/B0/x", "tgram://123:abc/456", "DingTalk://t0ken/"])
async def test_services_that_have_a_token_for_a_host_are_taken(api: Api, wire: Wire, target: str) -> None:
    shown = await enter(api, channel="apprise", target=target)
    assert shown["target"] == f"{target.partition(':')[0]}://***"


async def test_private_addresses_are_taken_where_the_operator_says_so() -> None:
    allowed = Settings.model_validate({"alerter": {"allow_private_receivers": True}})
    async with running_api(allowed, store=MemoryStore()) as api:
        api.deps.decisions.open(Wire())
        for channel, target in (("webhook", "http://127.0.0.1:9/x"), ("apprise", "json://localhost/x")):
            await enter(api, channel=channel, target=target)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True), ("2606:4700::1111", True), ("127.0.0.1", False), ("0.0.0.0", False),
        ("10.0.0.1", False), ("172.16.0.1", False), ("192.168.0.1", False), ("169.254.169.254", False),
        ("100.64.0.1", False), ("224.0.0.1", False), ("255.255.255.255", False), ("::", False), ("::1", False),
        ("fe80::1%eth0", False), ("fc00::1", False), ("ff02::1", False), ("::ffff:10.0.0.1", False),
        ("::ffff:93.184.215.14", True), ("64:ff9b::7f00:1", False), ("64:ff9b::5db8:d70e", True),
        ("2002:7f00:1::", False), ("::10.0.0.1", False), ("fec0::1", False), ("nonsense", False), ("", False),
    ],
)  # fmt: skip
def test_which_addresses_are_the_internets(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("https://hooks.example.org/T0/B0/x", "https://hooks.example.org/***"),
        ("https://hooks.example.org:8443/?token=x", "https://hooks.example.org:8443/***"),
        ("https://u:p@hooks.example.org/", "https://hooks.example.org"),
        ("http://[2001:db8::1]:80/x", "http://[2001:db8::1]:80/***"),
        ("http://[::1/x", "http://***"),
        ("slack://a/b/c, https://x.org/y", "slack://***, https://x.org/***"),
        ("ops@example.org, me@example.org", "ops@example.org, me@example.org"),
    ],
)
def test_an_address_is_shown_without_what_lets_others_post_there(target: str, shown: str) -> None:
    assert masked(target) == shown


async def test_trying_a_receiver_says_how_it_ended(api: Api, wire: Wire) -> None:
    api.told("setup:alerter", setup())
    outcomes = ["delivered", "permanent_failure"]

    def alerter(key: str, event: Any) -> None:
        if event is not None:
            told = delivery(event["id"], outcome=outcomes.pop(0), detail="HTTP 4xx <b>", receiver=event["receiver"])
            api.hear(delivery("somebody else's"), ALERTS)
            api.hear(told, ALERTS)

    wire.then = alerter
    good = await api.data(f"{PATH}pager/test/", method="POST", who="operator")
    type_of(good, shapes.TrialShape)
    assert (good["delivered"], good["answers"][0]["outcome"]) == (True, "delivered")
    bad = await api.data(f"{PATH}pager/test/", method="POST", who="operator")
    assert (bad["delivered"], bad["answers"][0]["detail"]) == (False, "HTTP 4xx <b>")
    asked, forgotten = wire.told[:2]
    assert asked[1]["receiver"] == "pager" and asked[1]["author"] == "operator"
    assert forgotten == (asked[0], None), "nobody is asked to try it again after a restart"
    assert await api.deps.decisions.of(asked[0]) is None


async def test_trying_one_that_nobody_answers_for_is_a_clear_504(api: Api, wire: Wire) -> None:
    api.told("setup:alerter", setup())
    api.deps.patience = 0.01
    status, message = await api.refused(f"{PATH}pager/test/", method="POST", who="operator", accept_language="en")
    assert status == 504 and "pager" in message and "running" in message
    assert wire.told[-1][1] is None
    assert (await api.refused(f"{PATH}nobody/test/", method="POST", who="operator"))[0] == 404
    wire.away = True
    assert (await api.refused(f"{PATH}pager/test/", method="POST", who="operator"))[0] == 503


async def test_two_may_try_at_once(api: Api, wire: Wire) -> None:
    api.told("setup:alerter", setup())
    wire.then = lambda key, event: event and api.hear(delivery(event["id"], detail=event["receiver"]), ALERTS)
    tried = await asyncio.gather(
        *(api.data(f"{PATH}{name}/test/", method="POST", who="operator") for name in ("pager", "ops"))
    )
    assert [one["answers"][0]["detail"] for one in tried] == ["pager", "ops"]


# -- who would get it -------------------------------------------------------------------------------------------------


async def ask_preview(api: Api, **labels: str) -> Any:
    found = await api.data("/api/system/routes/preview/", method="POST", body={"labels": labels})
    type_of(found, shapes.PreviewShape)
    return found


async def test_who_would_get_it_and_by_which_way(api: Api, wire: Wire) -> None:
    assert (await api.refused("/api/system/routes/preview/", method="POST", body={"labels": {}}))[0] == 503
    api.told("setup:alerter", setup())
    plain = await ask_preview(api, alertname="x", severity="warning")
    assert (plain["receivers"], plain["routes"][0]["group_labels"]) == (["ops"], {"alertname": "x"})
    both = await ask_preview(api, alertname="x", severity="critical", role="db")
    assert both["receivers"] == both["told_now"] == ["dba", "pager"], "critical alerts come through quiet hours"
    dba, pager = both["routes"]
    assert dba["path"][1] == {"receiver": "dba", "matchers": ['role=~"db|cache"']}
    assert (pager["group_wait"], pager["steps"]) == (0.0, [{"after": 900.0, "receiver": "boss"}])
    assert pager["group_labels"] == {"alertname": "x", "severity": "critical", "role": "db"}
    quiet = await ask_preview(api, alertname="x", role="cache")  # 16:00 in Shanghai
    assert (quiet["receivers"], quiet["told_now"]) == (["dba"], [])
    assert quiet["routes"][0]["quiet_now"] == ["nights"]


async def test_silences_and_receivers_that_were_entered_count(api: Api, wire: Wire) -> None:
    api.told("setup:alerter", setup())
    await enter(api, matchers=['alertname="x"'])
    assert (await ask_preview(api, alertname="x"))["told_now"] == ["ops", "night shift"]
    silence = {"matchers": ['alertname="x"'], "duration": "1h"}
    made = await api.data("/api/system/silences/", method="POST", who="operator", body=silence)
    held = await ask_preview(api, alertname="x")
    assert (held["receivers"], held["told_now"], held["silences"]) == (["ops", "night shift"], [], [made])


@pytest.mark.parametrize(
    "body",
    [{}, {"labels": []}, {"labels": {"a": 1}}, {"labels": {"a": "x" * 2000}}, {"labels": {}, "more": 1}, [],
     {"labels": {str(i): "" for i in range(200)}}],
)  # fmt: skip
async def test_labels_that_are_none_are_refused(api: Api, body: Any) -> None:
    api.told("setup:alerter", setup())
    assert (await api.refused("/api/system/routes/preview/", method="POST", body=body))[0] == 422


@pytest.mark.parametrize(
    ("when", "quiet"),
    [
        ("2027-01-15T21:59:00+08:00", False),  # a Friday
        ("2027-01-15T22:00:00+08:00", True),
        ("2027-01-16T06:59:00+08:00", True),
        ("2027-01-16T07:00:00+08:00", False),
        ("2027-01-16T22:00:00+08:00", False),
    ],
)
def test_quiet_hours_cross_midnight_by_the_clock_of_their_zone(when: str, quiet: bool) -> None:
    friday_night = QuietHours(name="n", zone="Asia/Shanghai", days=[4], begins=22 * 60, ends=7 * 60)
    assert is_quiet(friday_night, instant(when)) is quiet
    assert not is_quiet(friday_night.model_copy(update={"zone": "Not/There"}), instant(when))


# -- rules ------------------------------------------------------------------------------------------------------------


async def test_rules_are_shown_with_how_they_stand(fresh_store: Settings) -> None:
    async with running_api(fresh_store) as api:
        assert await api.data("/api/system/rules/") == {"rules": [], "problems": [], "told_at": None}
        store = await open_store(fresh_store, "writer")
        await put(
            store, alert("a"), alert("b"), alert("c", state="pending"), alert("d", state="resolved"), attention("b")
        )
        await store.close()
        api.hear(host_sample())
        api.hear(host_sample(host_id="h2", host="db-1", labels={"role": "db"}))
        api.told("setup:alerter", setup(problems=["mine.yaml:3: no such metric"]))
        found = await api.data("/api/system/rules/")
        type_of(found, shapes.RulesShape)
        disk, web = found["rules"]
        assert (disk["firing"], disk["pending"], disk["hosts"]) == (2, 1, 2), "an acknowledged alert fires all the same"
        assert (web["firing"], web["hosts"], web["matchers"]) == (0, 1, ['role="web"'])
        assert found["problems"] == ["mine.yaml:3: no such metric"]
        api.told("setup:alerter", {"kind": "setup", "rules": "nonsense"})
        assert (await api.data("/api/system/rules/"))["rules"] == found["rules"], "what cannot be read changes nothing"
        api.told("setup:alerter", None)
        assert (await api.data("/api/system/rules/"))["told_at"] is None


async def test_where_nobody_is_told_nobody_is_named(api: Api) -> None:
    api.told("setup:alerter", setup(routes=[{"parent": -1, "receiver": ""}], receivers=[]))
    found = await ask_preview(api, alertname="cpu_busy")
    assert (found["receivers"], found["told_now"]) == ([], [])
