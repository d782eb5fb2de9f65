"""The apprise channel against a real HTTP server, by apprise's own ``json://``."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import apprise
import pytest

from services.alerter.delivery.channels.apprise import Apprise, plugin_of, without_url
from services.alerter.delivery.channels.port import Delivered, Failed
from shared.alerting.fixed_services import FIXED
from shared.runtime.settings import SettingsError
from tests.support.receivers import webhook_receiver
from tests.support.waiting import eventually
from tests.unit.alerter.notes import note
from tests.unit.alerter.support import alert


def json_url(url: str) -> str:
    return url.replace("http://", "json://user:hunter2@")


async def test_title_text_and_kind_arrive() -> None:
    with webhook_receiver() as hooks:
        channel = Apprise(json_url(hooks.url), external_url="https://x.example")
        assert await channel.deliver(note(alert("a", severity="critical"))) == Delivered("")
        assert await channel.deliver(note(resolved=(alert("a", state="resolved"),))) == Delivered("")
    fired, over = hooks.bodies
    assert (fired["title"], fired["type"]) == ("[Critical] cpu_busy: web1", "failure")
    assert "Look at it." in fired["message"]
    assert "https://x.example/?host=h1&alert=a" in fired["message"]
    assert (over["title"], over["type"]) == ("[Resolved] cpu_busy: web1", "success")


async def test_chinese() -> None:
    with webhook_receiver() as hooks:
        await Apprise(json_url(hooks.url), language="zh").deliver(note())
    assert hooks.bodies[0]["title"] == "[警告] cpu_busy: web1"


@pytest.mark.parametrize(
    ("status", "permanent"), [(400, True), (401, True), (404, True), (429, False), (500, False), (503, False)]
)
async def test_a_refusal_says_why_and_whether_to_try_again(status: int, permanent: bool) -> None:
    with webhook_receiver() as hooks:
        hooks.statuses = [status]
        outcome = await Apprise(json_url(hooks.url)).deliver(note())
    assert isinstance(outcome, Failed)
    assert outcome.permanent is permanent
    assert str(status) in outcome.reason
    assert "hunter2" not in outcome.reason


async def test_nobody_there_is_temporary() -> None:
    outcome = await Apprise("json://user:hunter2@127.0.0.1:1/").deliver(note())
    assert isinstance(outcome, Failed)
    assert not outcome.permanent
    assert "hunter2" not in outcome.reason


async def test_two_at_once_hear_their_own_reasons() -> None:
    with webhook_receiver() as good, webhook_receiver() as bad:
        bad.statuses = [503]
        fine, failed = await asyncio.gather(
            Apprise(json_url(good.url)).deliver(note()), Apprise(json_url(bad.url)).deliver(note())
        )
    assert fine == Delivered("")
    assert isinstance(failed, Failed)
    assert "503" in failed.reason


async def test_one_that_hangs_is_left_behind_and_not_joined_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    class Hanging:
        def notify(self, **_: Any) -> bool:
            return released.wait(20)

    monkeypatch.setattr("services.alerter.delivery.channels.apprise.plugin_of", lambda url: Hanging())
    channel = Apprise("json://localhost/")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await channel.deliver(note())
    assert await channel.deliver(note()) == Failed("the attempt before this one has not ended yet")
    released.set()
    await eventually(lambda: not channel._busy)
    assert await channel.deliver(note()) == Delivered("")


def test_what_a_stranger_may_name_has_no_address_in_its_url() -> None:
    """By apprise's own description of its services."""
    described = apprise.Apprise().details()["schemas"]
    known = {}
    for service in described:
        for scheme in (*(service["protocols"] or ()), *(service["secure_protocols"] or ())):
            known[scheme] = service["details"]
    assert set(known) >= FIXED
    for scheme in FIXED:
        tokens, arguments = known[scheme]["tokens"], known[scheme]["args"]
        assert "host" not in tokens, scheme
        assert not any(a.get("map_to") in ("host", "webhook_url", "base_url") for a in arguments.values()), scheme


def test_long_texts_are_cut_to_what_the_service_takes() -> None:
    assert plugin_of("json://localhost/").overflow_mode == apprise.OverflowMode.TRUNCATE
    assert plugin_of("json://localhost/?overflow=split").overflow_mode == apprise.OverflowMode.SPLIT


def test_nothing_secret_is_left_of_an_address() -> None:
    said = without_url(
        "cannot reach https://u:hunter22@h.example/tokentoken/", "json://u:hunter22@h.example/tokentoken"
    )
    assert "hunter22" not in said
    assert "tokentoken" not in said


@pytest.mark.parametrize("url", ["slack://T1JJ3T3L2/A1B%2Fhunter22/TIiajkdnla", "twilio://AC%2Dhunter22:x@12345"])
def test_nothing_secret_is_left_of_an_address_that_apprise_decoded(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        plugin_of(url)
    assert "hunter22" not in str(refused.value)
