"""What the command says when it is given something it cannot work with: one clear line, exit status 2 or 1."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.product import PATIENCE, Product, running


def lapwing(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("LAPWING_")} | settings
    return subprocess.run(
        [sys.executable, "-m", "services", *arguments], env=env, capture_output=True, text=True, timeout=PATIENCE
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"LAPWING_API__PROT": "1"}, "unknown setting LAPWING_API__PROT; did you mean LAPWING_API__PORT?"),
        ({"LAPWING_API__PORT": "many"}, "LAPWING_API__PORT: Input should be a valid integer"),
        ({"LAPWING_KAFKA__BOOTSTRAP_SERVERS": "kafka"}, "LAPWING_KAFKA__BOOTSTRAP_SERVERS: must be"),
        ({"LAPWING_CLICKHOUSE__DSN": "mysql://x"}, "LAPWING_CLICKHOUSE__DSN: must begin with"),
        ({"LAPWING_ALERTER__WEBHOOK_URL": "example.org"}, "LAPWING_ALERTER__WEBHOOK_URL: must begin with"),
        ({"LAPWING_CONFIG": "/nowhere/lapwing.yaml"}, "LAPWING_CONFIG: cannot read '/nowhere/lapwing.yaml'"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(settings: dict[str, str], said: str, tmp_path: Path) -> None:
    done = lapwing("up", LAPWING_DATA_DIR=str(tmp_path), **settings)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_command_lists_the_known_ones() -> None:
    done = lapwing("fly")
    assert done.returncode == 2
    assert "'fly'" in done.stderr and "agent" in done.stderr


@pytest.mark.parametrize("port", ["99999", "-1", "http"])
def test_a_port_that_is_none_is_refused(port: str, tmp_path: Path) -> None:
    done = lapwing("up", f"--port={port}", LAPWING_DATA_DIR=str(tmp_path))
    assert done.returncode == 2
    assert f"'{port}' is no port" in done.stderr


def test_who_asks_for_help_starts_nothing(tmp_path: Path) -> None:
    done = lapwing("up", "--help", LAPWING_DATA_DIR=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "lapwing up" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_secrets_are_masked_when_settings_are_shown(tmp_path: Path) -> None:
    secret = tmp_path / "smtp"
    secret.write_text("hunter2\n")
    done = lapwing(
        "config",
        "show",
        LAPWING_SMTP__PASSWORD_FILE=str(secret),
        LAPWING_ADMIN_PASSWORD="hunter2",
        LAPWING_CLICKHOUSE__DSN="https://lapwing:hunter2@clickhouse:8443/lapwing",
    )
    assert done.returncode == 0
    assert "hunter2" not in done.stdout + done.stderr
    assert "LAPWING_SMTP__PASSWORD=**********" in done.stdout


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    in_the_way = tmp_path / "data"
    in_the_way.write_text("")
    done = lapwing("up", LAPWING_DATA_DIR=str(in_the_way))
    assert done.returncode == 2
    assert f"cannot write to the data directory {in_the_way}" in done.stderr
    assert "LAPWING_DATA_DIR" in done.stderr


def test_the_embedded_broker_cannot_be_shared_between_processes(tmp_path: Path) -> None:
    done = lapwing("agent", LAPWING_DATA_DIR=str(tmp_path))
    assert done.returncode == 2
    assert "`embedded://` lives inside `lapwing up`" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--url", "https://lapwing.invalid"], "--url needs --token-file"),
        (["--url", "https://lapwing.invalid", "--token-file", "no/such/file"], "--token-file: cannot read"),
        (["--url", "https://lapwing.invalid", "--token-file", "{empty}"], "is empty"),
        (["--token-file", "{token}"], "--url"),
        (["--url", "lapwing.invalid", "--token-file", "{token}"], "LAPWING_AGENT__URL: must begin with"),
        (["--url", "https://u:p@lapwing.invalid", "--token-file", "{token}"], "LAPWING_AGENT__URL: must begin with"),
        (["--url", "https://lapwing.invalid:99999", "--token-file", "{token}"], "names no usable port"),
    ],
)
def test_an_agent_that_does_not_know_where_to_post_or_as_whom_is_told(
    words: list[str], said: str, tmp_path: Path
) -> None:
    empty, token = tmp_path / "empty", tmp_path / "token"
    empty.write_text("\n")
    token.write_text("lw_secret_of_the_agent\n")
    done = lapwing("agent", *(w.format(empty=empty, token=token) for w in words), LAPWING_DATA_DIR=str(tmp_path))
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "lw_secret" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with running(tmp_path_factory.mktemp("first")) as product:
        yield product


class TestWithOneRunning:
    def test_a_second_one_on_the_same_data_directory_is_refused(self, first: Product) -> None:
        done = lapwing("up", LAPWING_DATA_DIR=first.data_dir, LAPWING_API__PORT="0")
        assert done.returncode == 2
        assert f"is in use by another Lapwing (api, process {first.pid})" in done.stderr

    def test_a_second_one_on_the_same_port_says_so_and_leaves(self, first: Product, tmp_path: Path) -> None:
        port = first.url.rsplit(":", 1)[1]
        done = lapwing("up", LAPWING_DATA_DIR=str(tmp_path), LAPWING_API__PORT=port)
        assert done.returncode == 1
        assert port in done.stderr and "LAPWING_API__PORT" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_user_made_on_the_command_line_can_log_in_at_once(self, first: Product) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "services", "user", "add", "ada", "--role", "viewer", "--password-stdin"],
            input="a rather long passphrase\n",
            env={k: v for k, v in os.environ.items() if not k.startswith("LAPWING_")}
            | {"LAPWING_DATA_DIR": first.data_dir},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        first.login("ada", "a rather long passphrase")


def test_nobody_listens_where_the_port_was_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = lapwing("up", LAPWING_DATA_DIR=str(tmp_path), LAPWING_API__PORT=port)
    assert done.returncode == 1
    assert f"{port}" in done.stderr and "LAPWING_API__PORT" in done.stderr


@pytest.mark.parametrize(
    ("command", "settings", "said"),
    [
        (["migrate"], {"LAPWING_CLICKHOUSE__DSN": "http://127.0.0.1:9/lapwing"}, "127.0.0.1:9"),
        (["topics"], {"LAPWING_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9"}, "nothing listens at 127.0.0.1:9"),
        (
            ["agent"],
            {"LAPWING_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9", "LAPWING_KAFKA__SECURITY_PROTOCOL": "SASL_SSL"},
            "set LAPWING_KAFKA__USERNAME and LAPWING_KAFKA__PASSWORD",
        ),
    ],
)
def test_what_cannot_be_reached_or_used_is_one_clear_line(
    command: list[str], settings: dict[str, str], said: str, tmp_path: Path
) -> None:
    done = lapwing(*command, LAPWING_DATA_DIR=str(tmp_path), **settings)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "greeting",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nWelcome",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnope",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
    ids=["a web server", "a web server that knows no such path", "no web server"],
)
def test_an_address_where_something_else_answers_is_said_in_words(greeting: bytes, tmp_path: Path) -> None:
    def answer() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                connection.sendall(greeting)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, daemon=True).start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        done = lapwing(
            "migrate", LAPWING_DATA_DIR=str(tmp_path), LAPWING_CLICKHOUSE__DSN=f"http://u:secret@{address}/lapwing"
        )
        listener.shutdown(socket.SHUT_RDWR)
    assert done.returncode == 1
    assert f"what answers at {address} is not ClickHouse's HTTP interface" in done.stderr
    assert "Traceback" not in done.stderr and "secret" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_asks_it_to_stop_while_it_starts_is_obeyed(number: int, tmp_path: Path) -> None:
    product = Product(tmp_path)
    process = product.begin()
    while not (tmp_path / "run" / "api.lock").exists():  # claimed: it is in the middle of its start
        assert process.poll() is None, product.said()
    assert product.stop(number) == 0, product.said()
    assert "Traceback" not in product.said()
