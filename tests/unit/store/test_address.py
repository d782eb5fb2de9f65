"""What a DSN means, and what is said of one that means nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.runtime.settings import Settings
from shared.store.clickhouse import address_of
from shared.store.port import StoreError


def settings(dsn: str, **more: str) -> Settings:
    return Settings.model_validate({"data_dir": "/srv/lapwing", "clickhouse": {"dsn": dsn, **more}})


@pytest.mark.parametrize(
    ("dsn", "path", "database"),
    [
        ("chdb://", "/srv/lapwing/clickhouse", "lapwing"),
        ("chdb:///var/x", "/var/x", "lapwing"),
        ("chdb:///var/a%20b?database=other", "/var/a b", "other"),
    ],
)
def test_an_embedded_store_is_a_directory(dsn: str, path: str, database: str) -> None:
    address = address_of(settings(dsn))
    assert (address.path, address.database) == (Path(path), database)


def test_a_server_is_an_address_with_a_user() -> None:
    address = address_of(settings("https://u%40x:p%2Fw@[::1]/mon"))
    assert (address.host, address.port, address.secure) == ("::1", 8443, True)
    assert (address.username, address.password, address.database) == ("u@x", "p/w", "mon")
    assert address_of(settings("http://h", password="q")).password == "q"


@pytest.mark.parametrize(
    "dsn", ["http://", "https:///lapwing", "http://h:99999/x", "http://h/a;drop", "http://h/1x", "chdb://data/x"]
)
def test_what_names_nothing_usable_is_refused_for_good(dsn: str) -> None:
    with pytest.raises(StoreError, match="LAPWING_CLICKHOUSE__DSN: ") as refused:
        address_of(settings(dsn))
    assert refused.value.permanent


def test_an_address_is_shown_without_its_password() -> None:
    address = address_of(settings("http://u:hunter2@h/x"))
    assert "hunter2" not in f"{address} {address!r}"
