"""`https://` to the store, through the product's own front, and what is said when that cannot be."""

from __future__ import annotations

import http.server
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.runtime.serving import CannotListen
from shared.runtime.settings import Settings
from shared.store.clickhouse import open_store
from shared.store.front.listening import Listener
from shared.store.port import StoreError
from tests.support.clickhouse_http import PASSWORD, Front
from tests.support.tls import LONG_AGO, Authority, authority


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("trusted"))


@pytest.fixture
async def port(trusted: Authority) -> AsyncIterator[int]:
    front = Front()
    certificate, key = trusted.issue("127.0.0.1")
    listener = Listener(front, certfile=certificate, keyfile=key)
    yield await listener.start("127.0.0.1", 0)
    await listener.stop()
    front.app.close()


def towards(port: int, tmp_path: Path, scheme: str = "https", password: str = PASSWORD, **more: Any) -> Settings:
    dsn = f"{scheme}://lapwing:{password}@127.0.0.1:{port}/default"
    return Settings.model_validate({"data_dir": tmp_path, "clickhouse": {"dsn": dsn, **more}})


async def test_a_ca_of_ones_own_is_trusted(port: int, trusted: Authority, tmp_path: Path) -> None:
    store = await open_store(towards(port, tmp_path, ssl_cafile=trusted.certificate), "test")
    assert await store.query("SELECT 1") == [(1,)]
    await store.close()


async def test_a_certificate_nobody_vouches_for_is_refused_for_ever(port: int, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="LAPWING_CLICKHOUSE__SSL_CAFILE") as refused:
        await open_store(towards(port, tmp_path), "test")
    assert refused.value.permanent and PASSWORD not in str(refused.value)


async def test_an_expired_certificate_is_called_so(trusted: Authority, tmp_path: Path) -> None:
    certificate, key = trusted.issue("127.0.0.1", days=LONG_AGO)
    listener = Listener(Front(), certfile=certificate, keyfile=key)
    at = await listener.start("127.0.0.1", 0)
    with pytest.raises(StoreError, match="expired") as refused:
        await open_store(towards(at, tmp_path, ssl_cafile=trusted.certificate), "test")
    await listener.stop()
    assert refused.value.permanent


async def test_a_wrong_password_over_tls_names_the_setting(port: int, trusted: Authority, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="user or password"):
        await open_store(towards(port, tmp_path, password="other", ssl_cafile=trusted.certificate), "test")


async def test_a_ca_file_that_cannot_be_read_is_named(port: int, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for file in ("missing.pem", "empty.pem"):
        with pytest.raises(StoreError, match=f"SSL_CAFILE.*{file}") as refused:
            await open_store(towards(port, tmp_path, ssl_cafile=tmp_path / file), "test")
        assert refused.value.permanent


class _Page(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"<html>a page</html>")

    do_POST = do_GET

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(params=[200, 404])
def page(request: pytest.FixtureRequest) -> Iterator[int]:
    handler = type("Page", (_Page,), {"status": request.param})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


async def test_what_is_not_clickhouse_is_called_so(page: int, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not ClickHouse") as refused:
        await open_store(towards(page, tmp_path, "http"), "test")
    assert refused.value.permanent


async def test_https_to_what_speaks_no_tls_says_so(page: int, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not speak TLS") as refused:
        await open_store(towards(page, tmp_path), "test")
    assert refused.value.permanent


async def test_the_front_names_the_setting_of_a_certificate_it_cannot_use(tmp_path: Path) -> None:
    with pytest.raises(CannotListen, match="LAPWING_STORE__SSL_CERTFILE"):
        await Listener(Front(), certfile=tmp_path / "missing.pem").start("127.0.0.1", 0)
