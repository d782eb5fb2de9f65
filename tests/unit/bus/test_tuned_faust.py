"""What is taken out of Faust stays out."""

from __future__ import annotations

from pathlib import Path

from shared.bus.stream import stream_app
from tests.support.broker import settings_for


def test_nothing_is_counted_that_nobody_reads(tmp_path: Path) -> None:
    app = stream_app(settings_for("127.0.0.1:9092", tmp_path), "test")
    app.on_init_dependencies()
    assert list(app.sensors) == []
