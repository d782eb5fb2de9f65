"""Stands in for `lapwing store serve` (interim)."""

import os
from pathlib import Path

import chdb

from shared.runtime.readiness import tell_ready
from tests.support import clickhouse_http

d = Path(os.environ["LAPWING_DATA_DIR"]) / "clickhouse"
d.mkdir(parents=True, exist_ok=True)
kept = chdb.connect(str(d.resolve()))
kept.query("CREATE DATABASE IF NOT EXISTS lapwing")
clickhouse_http.engine_dir = lambda: d
H = clickhouse_http._Handler
pw = os.environ["LAPWING_STORE__WRITER_PASSWORD"]
H._credentials = lambda self: "default:secret"
front = clickhouse_http.Front(("127.0.0.1", int(os.environ["LAPWING_STORE__PORT"])), H)
tell_ready()
front.serve_forever()
