"""The alerter as a part of the product: what it refuses to start with, and how it says that it is well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.alerter.service import DEAF_SECONDS, STUCK_SECONDS, build
from shared.runtime.clock import ManualClock
from shared.runtime.health import Health
from shared.runtime.settings import Settings, SettingsError


def settings(tmp_path: Path, **sections: Any) -> Settings:
    kafka = {"bootstrap_servers": "127.0.0.1:9"}
    return Settings.model_validate({"data_dir": tmp_path, "kafka": kafka, **sections})


def test_bad_rules_are_refused_by_name_and_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("rules:\n  - name: a\n    title: t\n    metric: cpu.load\n    above: 1\n")
    with pytest.raises(
        SettingsError, match=r"LAPWING_ALERTER__RULES: .*mine\.yaml:4: rule `a`, metric: unknown metric"
    ):
        build(settings(tmp_path, alerter={"rules": tmp_path / "mine.yaml"}))


def test_mail_without_a_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="LAPWING_SMTP__HOST is not"):
        build(settings(tmp_path, alerter={"email_to": ["a@example.org"]}))


def test_nobody_to_tell_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        build(settings(tmp_path))
    (line,) = [r for r in caplog.records if "no receiver is configured" in r.getMessage()]
    assert "LAPWING_ALERTER__WEBHOOK_URL" in line.set  # type: ignore[attr-defined]


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
