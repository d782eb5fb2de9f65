from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest

from services.supervise.product import STAGES, STOP_WITHIN, parts, plan
from services.supervise.relay import Relay
from shared.runtime.lifecycle import STOP_WITHIN as FOR_ALL
from shared.runtime.settings import Settings

SERVICES = {"api", "ingest", "detector", "alerter", "agent"}
SERVER = "http://me:secret@db.example.org:8123/lapwing"


def settings(data_dir: Path, **sections: Any) -> Settings:
    (data_dir / "run").mkdir()
    return Settings.model_validate({"data_dir": data_dir, **sections})


@pytest.mark.parametrize("kafka", ["embedded://", "local://"])
def test_without_a_broker_and_a_server_there_are_two_processes_more(tmp_path: Path, kafka: str) -> None:
    it = plan(settings(tmp_path, kafka={"bootstrap_servers": kafka}), {})
    assert set(it.names) == SERVICES | {"broker", "store"}
    assert re.fullmatch(r"127\.0\.0\.1:\d+", it.environ["LAPWING_KAFKA__BOOTSTRAP_SERVERS"])
    password = (tmp_path / "store-lapwing.password").read_text().strip()
    assert it.environ["LAPWING_CLICKHOUSE__DSN"] == f"http://lapwing:{password}@127.0.0.1:8123/lapwing"
    assert it.store_environ["LAPWING_CLICKHOUSE__DSN"] == "chdb://"


def test_a_broker_and_a_server_of_ones_own_are_left_alone(tmp_path: Path) -> None:
    told = {"LAPWING_KAFKA__BOOTSTRAP_SERVERS": "k:9092", "LAPWING_CLICKHOUSE__DSN": SERVER}
    it = plan(settings(tmp_path, kafka={"bootstrap_servers": "k:9092"}, clickhouse={"dsn": SERVER}), told)
    assert set(it.names) == SERVICES
    assert {name: it.environ[name] for name in told} == told


def test_addresses_are_the_same_at_the_next_start(tmp_path: Path) -> None:
    given = settings(tmp_path, store={"port": 0})
    assert plan(given, {}) == plan(given, {})


def test_who_listens_everywhere_is_asked_on_this_machine(tmp_path: Path) -> None:
    given = settings(tmp_path, store={"host": "0.0.0.0", "port": 8124, "writer_password": "a/b@c"})
    assert plan(given, {}).environ["LAPWING_CLICKHOUSE__DSN"] == "http://lapwing:a%2Fb%40c@127.0.0.1:8124/lapwing"


def test_a_password_for_another_store_is_not_passed_on(tmp_path: Path) -> None:
    given = settings(tmp_path, clickhouse={"password": "other"})
    assert "LAPWING_CLICKHOUSE__PASSWORD" not in plan(given, {"LAPWING_CLICKHOUSE__PASSWORD": "other"}).environ


def test_a_person_reads_text_unless_told_otherwise(tmp_path: Path) -> None:
    given = settings(tmp_path)
    assert plan(given, {}).environ["LAPWING_LOG__FORMAT"] == "text"
    assert plan(given, {"LAPWING_LOG__FORMAT": "json"}).environ["LAPWING_LOG__FORMAT"] == "json"


def test_every_process_is_in_a_stage_and_all_stages_stop_in_time(tmp_path: Path) -> None:
    it = plan(settings(tmp_path), {})
    made = parts(it, Relay(list(it.names), "text", io.StringIO(), io.StringIO()))
    assert {name for part in made for name in part.name.split(", ")} == set(it.names)
    assert sum(max(STOP_WITHIN[name] for name in stage) for stage in STAGES) < FOR_ALL
