"""From receivers as people write them to the channels that tell them; what cannot work is refused in a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from services.alerter.delivery.channels.apprise import FIXED
from services.alerter.delivery.channels.email import Email
from services.alerter.delivery.channels.port import Delivered, Failed
from services.alerter.delivery.channels.webhook import Webhook
from services.alerter.delivery.receivers import channels_of, external_url
from services.alerter.routing.receiver import AppriseTo, MailTo, Receiver, WebhookTo
from shared.runtime.settings import Settings, SettingsError
from tests.support.receivers import webhook_receiver
from tests.unit.alerter.notes import note

HOOK = SecretStr("https://hooks.example.org/x?token=hunter2")


def settings(tmp_path: Path, **sections: Any) -> Settings:
    return Settings.model_validate({"data_dir": tmp_path, "smtp": {"host": "mail.example.org"}, **sections})


async def close(channels: Any) -> None:
    for channel in channels:
        await channel.close()


async def test_each_way_to_tell_has_a_name_of_its_own(tmp_path: Path) -> None:
    receiver = Receiver(
        name="ops",
        email=MailTo(to=["ops@example.org"]),
        webhooks=[WebhookTo(url=HOOK), WebhookTo(url=HOOK)],
        apprise=[AppriseTo(url=SecretStr("json://localhost/"))],
    )
    channels = channels_of(receiver, settings(tmp_path))
    assert [c.name for c in channels] == ["email", "webhook", "webhook-2", "apprise"]
    assert [c.target for c in channels] == ["ops@example.org", *["https://hooks.example.org"] * 2, "json://"]
    await close(channels)


def test_nobody_behind_a_name_is_nobody_told(tmp_path: Path) -> None:
    assert channels_of(Receiver(name="nobody"), settings(tmp_path)) == []


def webhook(**more: Any) -> Receiver:
    return Receiver(name="ops", webhooks=[WebhookTo(**({"url": HOOK} | more))])


@pytest.mark.parametrize(
    ("receiver", "expected"),
    [
        (Receiver(name="ops", email=MailTo(to=["ops"])), "receiver `ops`, email: 'ops' is not an e-mail address"),
        (Receiver(name="ops", email=MailTo(to=["a@b\r\nBcc: c@d"])), "is not an e-mail address"),
        (
            Receiver(name="ops", email=MailTo(to=["a@b"], subject="{{ x")),
            "receiver `ops`, email, subject: not a template: line 1",
        ),
        (
            Receiver(name="ops", email=MailTo(to=["a@b"], text="{% x %}")),
            "receiver `ops`, email, text: not a template: line 1",
        ),
        (webhook(url=SecretStr("ftp://x/hunter2")), "receiver `ops`, webhook: the URL must begin with `http://`"),
        (webhook(url=SecretStr("http:///hunter2")), "and name a host"),
        (webhook(url=SecretStr("http://x:99999/hunter2")), "the URL must begin"),
        (webhook(url=SecretStr("http://x/a b")), "the URL must begin"),
        (webhook(url=None, url_file=Path("/nowhere/x")), "receiver `ops`, webhook: cannot read '/nowhere/x'"),
        (webhook(secret_file=Path("/nowhere/x")), "receiver `ops`, webhook: cannot read '/nowhere/x'"),
        (webhook(headers={"X": "a\r\nEvil: 1"}), "receiver `ops`, webhook: the header 'X' must be one line of ASCII"),
        (webhook(headers={"X\nY": "a"}), "must be one line of ASCII"),
        (webhook(headers={"X": "é"}), "must be one line of ASCII"),
        (webhook(headers={"host": "x"}), "the header 'host' is set by Lapwing"),
        (webhook(headers={"Transfer-Encoding": "chunked"}), "is set by Lapwing"),
        (webhook(headers={"x-lapwing-signature": "x"}), "is set by Lapwing"),
        (webhook(body="{{"), "receiver `ops`, webhook, body: not a template"),
        (
            Receiver(name="ops", apprise=[AppriseTo(url=SecretStr("nonsense://hunter2"))]),
            "apprise cannot use this `nonsense://",
        ),
        (
            Receiver(name="ops", apprise=[AppriseTo(url=SecretStr("slack://hunter2"))]),
            "apprise cannot use this `slack://",
        ),
    ],
)
def test_what_cannot_work_is_refused_without_its_secrets(tmp_path: Path, receiver: Receiver, expected: str) -> None:
    with pytest.raises(SettingsError) as refused:
        channels_of(receiver, settings(tmp_path))
    assert expected in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_mail_without_a_server_says_what_to_set(tmp_path: Path) -> None:
    receiver = Receiver(name="ops", email=MailTo(to=["a@example.org"]))
    with pytest.raises(SettingsError, match="receiver `ops` is mailed, but LAPWING_SMTP__HOST is not set"):
        channels_of(receiver, settings(tmp_path, smtp={}))


async def test_secrets_in_files_are_read_anew_for_each_attempt(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("http://127.0.0.1:1/\n")
    (channel,) = channels_of(webhook(url=None, url_file=file), settings(tmp_path))
    assert isinstance(await channel.deliver(note()), Failed)
    with webhook_receiver() as hooks:
        file.write_text(hooks.url + "\n")
        assert await channel.deliver(note()) == Delivered("HTTP 200")
    await channel.close()


@pytest.mark.parametrize(
    ("trusted", "allowed", "arrives"), [(True, False, True), (False, False, False), (False, True, True)]
)
async def test_a_private_address_is_for_those_who_are_trusted(
    tmp_path: Path, trusted: bool, allowed: bool, arrives: bool
) -> None:
    with webhook_receiver() as hooks:
        receiver = webhook(url=SecretStr(hooks.url)).model_copy(update={"trusted": trusted})
        (channel,) = channels_of(receiver, settings(tmp_path, alerter={"allow_private_receivers": allowed}))
        outcome = await channel.deliver(note())
        await channel.close()
    assert isinstance(outcome, Delivered) == arrives
    assert len(hooks.bodies) == arrives


def test_a_stranger_may_name_services_only_that_are_in_one_place(tmp_path: Path) -> None:
    def receiver(url: str) -> Receiver:
        return Receiver(name="ops", trusted=False, apprise=[AppriseTo(url=SecretStr(url))])

    for url in ("json://127.0.0.1/", "ntfy://localhost/x", "mailto://u:p@gmail.com", "syslog://"):
        with pytest.raises(SettingsError, match="may lead to any address") as refused:
            channels_of(receiver(url), settings(tmp_path))
        assert "`slack`" in str(refused.value)
    channels_of(receiver("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"), settings(tmp_path))
    channels_of(receiver("json://127.0.0.1/"), settings(tmp_path, alerter={"allow_private_receivers": True}))
    assert "json" not in FIXED


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"api": {"host": "::1", "port": 80}}, "http://[::1]:80"),
        ({"alerter": {"external_url": "https://x.example/y/"}}, "https://x.example/y"),
    ],
)
def test_where_the_dashboard_is(tmp_path: Path, sections: Any, expected: str) -> None:
    assert external_url(settings(tmp_path, **sections)) == expected


def test_a_dashboard_that_listens_everywhere_is_at_the_machines_name(tmp_path: Path) -> None:
    assert "0.0.0.0" not in external_url(settings(tmp_path, api={"host": "0.0.0.0"}))


def test_words_and_languages_are_the_receivers(tmp_path: Path) -> None:
    chosen = settings(tmp_path, alerter={"language": "zh"})
    (mine,) = channels_of(Receiver(name="a", email=MailTo(to=["a@b"], language="en", text="{{ title }}")), chosen)
    (theirs,) = channels_of(Receiver(name="b", email=MailTo(to=["a@b"])), chosen)
    assert isinstance(mine, Email)
    assert isinstance(theirs, Email)
    assert (mine._wording.language, mine._wording.text) == ("en", "{{ title }}")
    assert theirs._wording.language == "zh"


def test_the_webhook_is_of_the_class_that_signs(tmp_path: Path) -> None:
    (channel,) = channels_of(webhook(secret=SecretStr("s")), settings(tmp_path))
    assert isinstance(channel, Webhook)
    assert channel._secret
    assert channel._secret() == "s"
