"""The API for tests: its application in this process, spoken to over ASGI, with a store that is real or a fake.

async with running_api(fresh_store) as api:
    api.hear(host_sample(ts=api.clock.now_ms()))
    assert (await api.data("/api/system/cpu/"))["cpu_count"] == 4
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
from argon2 import PasswordHasher

from services.api import deps as wiring
from services.api import shapes
from services.api.app import create_app
from services.api.auth.passwords import Passwords
from services.api.auth.records import User
from services.api.auth.vault import Vault
from services.api.door import Door
from services.api.feed import Feed
from shared.bus.port import Message
from shared.runtime.clock import ManualClock
from shared.runtime.settings import Settings
from shared.schemas.topics import CONTROL, METRICS, Topic
from shared.store.clickhouse import open_store
from shared.store.port import Store, StoreError

PASSWORD = "correct horse battery staple"
ROLES = ("viewer", "operator", "admin")


def cheap_passwords() -> Passwords:
    """The same algorithm at a cost that tests can bear."""
    return Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


class MemoryStore:
    """Keeps what the vault and people's decisions write and answers their questions; every other table is empty.

    ``away`` makes it fail.
    """

    def __init__(self) -> None:
        self.tables: dict[str, dict[Any, tuple[Any, ...]]] = {
            "users": {},
            "api_tokens": {},
            "keyring": {},
            "decisions": {},
        }
        self.away = False
        self.closed = False
        self.writes = 0

    async def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> list[tuple[Any, ...]]:
        self._there()
        if "groupBitXor" in sql:
            return [(self.writes,)]
        if "FROM users" in sql:
            return [self._user(r) for r in self.tables["users"].values()]
        if "FROM api_tokens" in sql:
            return [self._token(r) for r in self.tables["api_tokens"].values()]
        if "FROM keyring" in sql:
            return [(name, value) for name, value, _ in self.tables["keyring"].values()]
        if "FROM decisions" in sql:
            return self._decisions(sql, parameters or {})
        if "cpu_ts" in sql:
            return [(0, (), 0, (), 0, (), 0, 0)]
        return []

    async def query_columns(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> list[Sequence[Any]]:
        raise NotImplementedError

    async def insert_rows(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self._there()
        self.writes += 1
        for row in rows:
            self.tables[table][row[0]] = tuple(row)

    async def insert_lines(self, table: str, lines: bytes, *, token: str | None = None) -> None:
        raise NotImplementedError

    async def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        self._there()

    async def close(self) -> None:
        self.closed = True

    def _there(self) -> None:
        if self.away:
            raise StoreError("the store is away")

    def _decisions(self, sql: str, asked: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        rows = sorted((key, value) for key, value, _ in self.tables["decisions"].values() if value)
        if "key" in asked:
            rows = [r for r in rows if r[0] == asked["key"]]
        elif "prefix" in asked:
            rows = [r for r in rows if r[0].startswith(asked["prefix"])]
        return rows if sql.startswith("SELECT key") else [(value,) for _, value in rows]

    @staticmethod
    def _user(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*row[:4], _ms(row[4]), _ms(row[5]), row[6])

    @staticmethod
    def _token(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*row[:5], _ms(row[5]), None if row[6] is None else _ms(row[6]), *row[7:])


def _ms(when: Any) -> int:
    return round(when.timestamp() * 1000)


class Api:
    def __init__(self, deps: wiring.Deps, clock: ManualClock, store: Store) -> None:
        self.deps = deps
        self.clock = clock
        self.store = store
        self.app: Door = create_app(deps)
        self.tokens: dict[str, str] = {}
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app, raise_app_exceptions=True), base_url="http://127.0.0.1"
        )
        self._feed = Feed(None, deps.live, deps.hub, deps.told, clock)  # type: ignore[arg-type]

    def hear(self, event: Any, topic: Topic = METRICS) -> None:
        """One event arrives on a topic. Bytes are taken as they are."""
        value = event if isinstance(event, bytes) else json.dumps(event).encode()
        self._feed.take(Message(topic.name, 0, 0, b"", value, 0))

    def told(self, key: str, event: Any) -> None:
        """Something arrives on the control topic; ``None`` forgets the key."""
        value = None if event is None else json.dumps(event).encode()
        self.deps.told.take(Message(CONTROL.name, 0, 0, key.encode(), value, 0))

    async def login(self, name: str = "admin", password: str = PASSWORD) -> str:
        answer = await self.http.post("/api/auth/login/", json={"username": name, "password": password})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["data"]["access_token"])

    async def ask(
        self, path: str, *, who: str | None = "viewer", method: str = "GET", body: Any = None, **headers: str
    ) -> httpx.Response:
        """``who``: a role, a bearer token, or None for nobody. ``accept_language="en"`` sets a header."""
        sent = {k.replace("_", "-"): v for k, v in headers.items()}
        if who is not None:
            sent["Authorization"] = f"Bearer {self.tokens.get(who, who)}"
        return await self.http.request(method, path, json=body, headers=sent)

    async def data(self, path: str, **more: Any) -> Any:
        answer = await self.ask(path, **more)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        body = answer.json()
        assert set(body) == {"success", "code", "message", "data"}
        assert (body["success"], body["code"], body["message"]) == (True, 200, "操作成功")
        return body["data"]

    async def refused(self, path: str, **more: Any) -> tuple[int, str]:
        """Status and message of an answer that must be a failure's envelope."""
        answer = await self.ask(path, **more)
        body = answer.json()
        assert set(body) == {"success", "code", "message"}, body
        assert body["success"] is False
        assert body["code"] == answer.status_code
        assert "Traceback" not in answer.text
        return answer.status_code, body["message"]


@asynccontextmanager
async def running_api(
    settings: Settings | None = None, *, store: Store | None = None, clock: ManualClock | None = None
) -> AsyncIterator[Api]:
    """Without ``settings`` the store is a ``MemoryStore``. Three users are there, named like their roles."""
    clock = clock or ManualClock()
    if store is None:
        store = MemoryStore() if settings is None else await open_store(settings, "api-test")  # type: ignore[assignment]
    assert store is not None
    settings = settings or Settings()
    deps = wiring.make(settings, clock=clock, passwords=cheap_passwords())
    deps.queries.open([store])
    api = Api(deps, clock, store)
    try:
        await deps.accounts.open()
        if not deps.accounts.users():
            await _add_users(deps)
        for role in ROLES:
            api.tokens[role] = (await deps.accounts.login(role, PASSWORD)).token
        yield api
    finally:
        deps.hub.close()
        deps.passwords.close()
        await api.http.aclose()
        await deps.queries.close()


async def _add_users(deps: wiring.Deps) -> None:
    """Straight into the store, which is twice as quick as one after the other as an admin would."""
    vault, digest, now = Vault(deps.queries), await deps.passwords.hashed(PASSWORD), deps.clock.now_ms()
    for role in ROLES:
        await vault.keep_user(User(role, digest, role, False, now, now, now))
    await deps.accounts.follow()


def type_of(data: Any, shape: Any) -> None:
    """Exactly these keys, of these types."""
    whole = {"success": True, "code": 200, "message": "", "data": data}
    shapes.envelope(shape).model_validate_json(json.dumps(whole), strict=True)
