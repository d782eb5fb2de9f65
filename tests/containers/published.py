"""The API where docker-compose.yml publishes it."""

from __future__ import annotations

from typing import Any

from tests.containers.engine import Engine
from tests.support.product import Product


class Published(Product):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._token = ""
        self.url = "http://127.0.0.1:8000"

    def login(self, username: str = "admin", password: str = "change-me-admin") -> str:
        return super().login(username, password)

    def request(
        self, path: str, body: Any = None, *, token: str | None = None, method: str | None = None
    ) -> tuple[int, Any]:
        ask = super().request
        return self._engine.in_its_network(lambda: ask(path, body, token=token, method=method))
