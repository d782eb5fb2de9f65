"""Trying a receiver: `lapwing alert test RECEIVER`."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from services.alerter.delivery.trial import send_test
from shared.runtime.settings import Settings, SettingsError
from tests.support.receivers import mail_receiver, webhook_receiver


def settings(tmp_path: Path, **sections: Any) -> Settings:
    return Settings.model_validate({"data_dir": tmp_path, **sections})


def routing(tmp_path: Path, receivers: str) -> Settings:
    """Settings whose routing file has these."""
    file = tmp_path / "routing.yaml"
    file.write_text("route: {receiver: ops}\nreceivers:\n" + textwrap.indent(textwrap.dedent(receivers).strip(), "  "))
    return settings(tmp_path, alerter={"routing": file})


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_a_trial_reaches_both_short_receivers(tmp_path: Path, language: str) -> None:
    with webhook_receiver() as hooks, mail_receiver() as mailbox:
        chosen = settings(
            tmp_path,
            alerter={"webhook_url": hooks.url, "email_to": ["ops@example.org"], "language": language},
            smtp={"host": mailbox.host, "port": mailbox.port, "security": "none"},
        )
        said = await send_test(chosen, "webhook")
        assert said == f"the test was accepted for {hooks.url.removesuffix('/hook')} (HTTP 200)"
        assert await send_test(chosen, "email") == "the test was accepted for ops@example.org"
    assert hooks.bodies[0]["alerts"][0]["labels"]["alertname"] == "lapwing_test"
    (message,) = mailbox.messages
    assert str(message["Subject"]).endswith(": lapwing-test")
    text = message.get_body(("plain",))
    assert text is not None
    assert "/a/" not in text.get_content()  # there is nothing to acknowledge


async def test_a_receiver_of_the_routing_file_is_tried_in_every_way_it_has(tmp_path: Path) -> None:
    with webhook_receiver() as hooks, webhook_receiver() as chat:
        said = await send_test(
            routing(
                tmp_path,
                f"""
                - {{name: ops, webhooks: [{{url: "http://127.0.0.1:1/"}}]}}
                - name: team shop
                  webhooks: [{{url: "{hooks.url}"}}, {{url: "{hooks.url}"}}]
                  apprise: [{{url: "{chat.url.replace("http:", "json:")}"}}]
                """,
            ),
            "team shop",
        )
    assert said.count("the test was accepted for") == 3
    assert (len(hooks.bodies), len(chat.bodies)) == (2, 1)


async def test_one_way_that_fails_does_not_spare_the_others(tmp_path: Path) -> None:
    with webhook_receiver() as bad, webhook_receiver() as good:
        bad.statuses = [404]
        chosen = routing(tmp_path, f'- {{name: ops, webhooks: [{{url: "{bad.url}"}}, {{url: "{good.url}"}}]}}')
        with pytest.raises(SettingsError) as refused:
            await send_test(chosen, "ops")
    failed, fine = str(refused.value).splitlines()
    assert "did not arrive" in failed
    assert "HTTP 404" in failed
    assert "was accepted" in fine
    assert len(good.bodies) == 1


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        ("webhook", "nothing to test: LAPWING_ALERTER__WEBHOOK_URL is not set"),
        ("email", "nothing to test: LAPWING_ALERTER__EMAIL_TO is not set"),
        ("pigeon", "unknown receiver 'pigeon': it is one of ops, webhook, email"),
    ],
)
async def test_a_trial_of_nothing_says_what_to_set(tmp_path: Path, channel: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=expected):
        await send_test(routing(tmp_path, "- {name: ops, webhooks: [{url: 'http://127.0.0.1:1/'}]}"), channel)


async def test_a_trial_that_fails_says_why(tmp_path: Path) -> None:
    with webhook_receiver() as hooks:
        hooks.statuses = [404]
        with pytest.raises(SettingsError, match=r"the test did not arrive at http://.*: HTTP 404"):
            await send_test(settings(tmp_path, alerter={"webhook_url": hooks.url}), "webhook")


async def test_a_routing_file_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"LAPWING_ALERTER__ROUTING: .*routing\.yaml:3: "):
        await send_test(routing(tmp_path, "- {nome: ops}"), "ops")
