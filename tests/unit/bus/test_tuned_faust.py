"""What is taken out of Faust stays out."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.bus.stream import stream_app
from tests.support.broker import settings_for


def test_nothing_is_counted_that_nobody_reads(tmp_path: Path) -> None:
    app = stream_app(settings_for("127.0.0.1:9092", tmp_path), "test")
    app.on_init_dependencies()
    assert list(app.sensors) == []


def test_and_is_not_missed_at_a_rebalance(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = stream_app(settings_for("127.0.0.1:9092", tmp_path), "test")
    app.on_init_dependencies()
    app.on_rebalance_start()
    app.on_rebalance_return()
    app.on_rebalance_end()
    assert "sensor state" not in caplog.text
