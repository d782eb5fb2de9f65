"""The alerter as a part of the product: what it refuses to start with, and how it says that it is well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.alerter.delivery.channels.email import Email
from services.alerter.delivery.channels.webhook import Webhook
from services.alerter.delivery.receivers import receivers
from services.alerter.delivery.trial import send_test
from services.alerter.service import DEAF_SECONDS, STUCK_SECONDS, build
from shared.runtime.clock import ManualClock
from shared.runtime.health import Health
from shared.runtime.settings import Settings, SettingsError
from tests.support.receivers import mail_receiver, webhook_receiver


def settings(tmp_path: Path, **sections: Any) -> Settings:
    kafka = {"bootstrap_servers": "127.0.0.1:9"}
    return Settings.model_validate({"data_dir": tmp_path, "kafka": kafka, **sections})


def test_bad_rules_are_refused_by_name_and_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("rules:\n  - name: a\n    title: t\n    metric: cpu.load\n    above: 1\n")
    with pytest.raises(SettingsError, match=r"LAPWING_ALERTER__RULES: .*mine\.yaml:2: rule `a`: unknown metric"):
        build(settings(tmp_path, alerter={"rules": tmp_path / "mine.yaml"}))


def test_mail_without_a_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="LAPWING_SMTP__HOST is not"):
        build(settings(tmp_path, alerter={"email_to": ["a@example.org"]}))


def test_nobody_to_tell_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        build(settings(tmp_path))
    (line,) = [r for r in caplog.records if "no receiver is configured" in r.getMessage()]
    assert "LAPWING_ALERTER__WEBHOOK_URL" in line.set  # type: ignore[attr-defined]


def test_the_short_settings_make_receivers(tmp_path: Path) -> None:
    found = receivers(
        settings(
            tmp_path,
            alerter={"webhook_url": "http://127.0.0.1:1/x", "email_to": ["a@example.org"]},
            smtp={"host": "localhost"},
        )
    )
    assert isinstance(found["webhook"], Webhook)
    assert isinstance(found["email"], Email)


@pytest.mark.parametrize(("security", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
def test_the_port_follows_the_security(tmp_path: Path, security: str, port: int) -> None:
    found = receivers(
        settings(tmp_path, alerter={"email_to": ["a@example.org"]}, smtp={"host": "localhost", "security": security})
    )
    assert isinstance(found["email"], Email)
    assert found["email"]._port == port


def test_health_is_progress_and_the_broker(tmp_path: Path) -> None:
    clock, health = ManualClock(), Health()
    build(settings(tmp_path), clock=clock, health=health)
    assert Health.failures(health.progress) == Health.failures(health.dependencies) == {}
    clock.advance(max(STUCK_SECONDS, DEAF_SECONDS) + 1)
    assert "decided nothing for 61 s" in Health.failures(health.progress)["alerter"]
    assert "has not answered the alerter for 61 s" in Health.failures(health.dependencies)["alerter"]


async def test_stopping_before_starting_is_fine(tmp_path: Path) -> None:
    alerter = build(settings(tmp_path, alerter={"webhook_url": "http://127.0.0.1:1/x"}))
    await alerter.stop()
    await alerter.stop()


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_a_trial_reaches_both_receivers(tmp_path: Path, language: str) -> None:
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
    assert str(mailbox.messages[0]["Subject"]).endswith(": lapwing-test")


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        ("webhook", "nothing to test: LAPWING_ALERTER__WEBHOOK_URL is not set"),
        ("email", "nothing to test: LAPWING_ALERTER__EMAIL_TO is not set"),
        ("pigeon", "unknown channel 'pigeon': it is one of webhook, email"),
    ],
)
async def test_a_trial_of_nothing_says_what_to_set(tmp_path: Path, channel: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=expected):
        await send_test(settings(tmp_path), channel)


async def test_a_trial_that_fails_says_why(tmp_path: Path) -> None:
    with webhook_receiver() as hooks:
        hooks.statuses = [404]
        with pytest.raises(SettingsError, match=r"the test did not arrive at http://.*: HTTP 404"):
            await send_test(settings(tmp_path, alerter={"webhook_url": hooks.url}), "webhook")
