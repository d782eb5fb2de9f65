"""The whole product as a child process, started the way a person starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PASSWORD = "correct horse battery staple"
PATIENCE = 120.0  # seconds; a bound for what never happens, so that a busy machine is no failure


class Product:
    """``lapwing up``, or a service alone, on a free port; ``get`` speaks to its API as a logged-in user."""

    def __init__(self, data_dir: Path, command: str = "up", **settings: str) -> None:
        self._command = command
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LAPWING_")}
        self._env = kept | {
            "LAPWING_DATA_DIR": str(data_dir),
            "LAPWING_API__PORT": "0",
            "LAPWING_ADMIN_PASSWORD": PASSWORD,
            **settings,
        }
        self.data_dir = str(data_dir)
        self.lines: list[str] = []
        self.url = ""
        self._token = ""
        self._process: subprocess.Popen[str] | None = None

    def start(self, within: float = PATIENCE) -> None:
        """Returns when the banner was printed."""
        process = self.begin()
        deadline = time.monotonic() + within
        while not self._banner.wait(0.05):
            if process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"no banner; it said:\n{self.said()}")

    def begin(self) -> subprocess.Popen[str]:
        self.lines.clear()
        self._token = ""
        self._banner = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "services", self._command],
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, args=(self._process, self._banner), daemon=True).start()
        return self._process

    def _read(self, process: subprocess.Popen[str], banner: threading.Event) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append(line.rstrip())
            if found := re.search(r"URL +(http://\S+?)/?$", line.rstrip()):
                self.url = found[1]
            if "Ctrl-C" in line:
                banner.set()

    def said(self) -> str:
        return "\n".join(self.lines)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self, number: int = signal.SIGINT, within: float = PATIENCE) -> int:
        """Asks it to stop; returns its exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        return self.wait(within)

    def wait(self, within: float = PATIENCE) -> int:
        """Its exit status, when it ends by itself."""
        assert self._process is not None
        return self._process.wait(within)

    def kill(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait(PATIENCE)

    def request(
        self, path: str, body: Any = None, *, token: str | None = None, method: str | None = None
    ) -> tuple[int, Any]:
        """Status and decoded body, whatever the status."""
        request = urllib.request.Request(self.url + path, method=method)
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def login(self, username: str = "admin", password: str = PASSWORD) -> str:
        status, body = self.request("/api/auth/login/", {"username": username, "password": password})
        assert status == 200, body
        return str(body["data"]["access_token"])

    def get(self, path: str) -> Any:
        """``data`` of a 200 answer."""
        self._token = self._token or self.login()
        status, body = self.request(path, token=self._token)
        assert status == 200, (path, status, body)
        return body["data"]

    def until(self, path: str, condition: Any, within: float = PATIENCE) -> Any:
        """Asks until ``condition(data)`` is true; returns that data."""
        deadline = time.monotonic() + within
        data: Any = None
        while time.monotonic() < deadline:
            self._token = self._token or self.login()
            status, body = self.request(path, token=self._token)
            data = body.get("data") if status == 200 else body
            if status == 200 and condition(data):
                return data
            time.sleep(0.1)
        raise AssertionError(f"{path} never satisfied the condition within {within} s; last: {str(data)[:1500]}")


@contextmanager
def running(data_dir: Path, command: str = "up", **settings: str) -> Iterator[Product]:
    product = Product(data_dir, command, **settings)
    product.start()
    try:
        yield product
    finally:
        product.kill()
