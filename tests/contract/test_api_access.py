"""Who may do what: roles, scopes, logins, API tokens, revocation, cookies, limits."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import jwt
import pytest

from services.api import app
from services.api.auth.principal import ROLES, SCOPES
from services.api.route import Route
from shared.runtime.settings import Settings
from tests.support.api import PASSWORD, Api, MemoryStore, running_api
from tests.support.samples import host_sample
from tests.support.store import fresh_store

__all__ = ["fresh_store"]

API_ROUTES = [r for r in app.ROUTES if r.path.startswith("/api/") and "stream" not in r.path]
FORGERIES = [
    "",
    "x",
    "lw_",
    "lw_0000000000000000_" + "0" * 48,
    "a.b.c",
    "é" * 20,
    "\x00",
    "null",
    "A" * 8000,
]


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as it:
        it.hear(host_sample())
        yield it


async def status(api: Api, route: Route, credential: str | None) -> int:
    """How ``route`` greets somebody, with a body that nothing can be made of."""
    path = route.path.replace("{name}", "nobody").replace("{id}", "nothing")
    answer = await api.ask(path, who=credential, method=route.method, body=[] if route.body else None)
    return answer.status_code


@pytest.mark.parametrize("role", list(ROLES))
async def test_every_route_for_every_role(api: Api, role: str) -> None:
    for route in API_ROUTES:
        allowed = route.needs is None or route.needs in ROLES[role]  # type: ignore[index]
        assert (await status(api, route, role) != 403) is allowed, route.path
        assert await status(api, route, role) != 500, route.path


@pytest.mark.parametrize("scope", SCOPES)
async def test_every_route_for_every_scope(api: Api, scope: str) -> None:
    created = await api.data(
        "/api/auth/tokens/", who="admin", method="POST", body={"name": "test", "scopes": [scope], "expires_in_days": 1}
    )
    may = {"ingest"} if scope == "ingest" else {scope, "read"}
    for route in API_ROUTES:
        greeted = await status(api, route, created["token"])
        # What is done in a user's name is refused to every API token.
        own = route.path in ("/api/auth/logout/", "/api/auth/password/")
        assert (greeted == 403) is (own or (route.needs is not None and route.needs not in may)), route.path


@pytest.mark.parametrize("credential", FORGERIES, ids=lambda c: c[:12])
async def test_forged_credentials_are_nobody(api: Api, credential: str) -> None:
    answer = await api.http.get("/api/system/cpu/", headers=[(b"authorization", f"Bearer {credential}".encode())])
    assert answer.status_code == 401
    answer = await api.http.get("/api/system/cpu/", headers=[(b"cookie", f"lapwing_session={credential}".encode())])
    assert answer.status_code == 401
    answer = await api.http.get("/api/system/cpu/", headers=[(b"authorization", credential.encode())])
    assert answer.status_code == 401


async def test_a_login_signed_with_another_key_or_with_none_is_nobody(api: Api) -> None:
    claims = jwt.decode(api.tokens["admin"], options={"verify_signature": False})
    other = jwt.encode(claims, "0" * 64, algorithm="HS256")
    header = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    unsigned = f"{header}.{api.tokens['admin'].split('.')[1]}."
    swapped = api.tokens["admin"].rsplit(".", 1)[0] + "." + api.tokens["viewer"].rsplit(".", 1)[1]
    for forged in (other, unsigned, swapped):
        assert (await api.ask("/api/system/cpu/", who=forged)).status_code == 401


async def test_wrong_passwords_and_unknown_users_hear_the_same(api: Api) -> None:
    for name, password in (("admin", "wrong"), ("nobody", PASSWORD), ("", ""), ("admin' OR '1'='1", PASSWORD)):
        answer = await api.http.post("/api/auth/login/", json={"username": name, "password": password})
        assert answer.status_code == 401
        assert answer.json() == {"success": False, "code": 401, "message": "用户名或密码错误"}


@asynccontextmanager
async def at(api: Api, address: str) -> AsyncIterator[Callable[..., Awaitable[httpx.Response]]]:
    """``login(name, password)`` from that address."""
    transport = httpx.ASGITransport(app=api.app, client=(address, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:

        async def login(name: str, password: str = "wrong", **headers: str) -> httpx.Response:
            body = {"username": name, "password": password}
            return await http.post("/api/auth/login/", json=body, headers=headers)

        yield login


async def test_wrong_passwords_are_limited_and_it_is_said_when_to_try_again(api: Api) -> None:
    async with at(api, "192.0.2.1") as login:
        for _ in range(10):
            assert (await login("admin")).status_code == 401
        limited = await login("admin", PASSWORD)
        assert limited.status_code == 429
        assert 1 <= int(limited.headers["retry-after"]) <= 60
        assert limited.json()["success"] is False
        api.clock.advance(61)
        assert (await login("admin", PASSWORD)).status_code == 200


async def test_who_guesses_at_a_user_locks_nobody_out_elsewhere(api: Api) -> None:
    async with at(api, "192.0.2.1") as guess, at(api, "192.0.2.2") as login:
        for _ in range(20):
            await guess("admin")
        assert (await guess("admin")).status_code == 429
        assert (await guess("viewer", PASSWORD)).status_code == 200, "nor other users at the same address"
        assert (await login("admin", PASSWORD)).status_code == 200


async def test_who_knows_the_password_may_use_it_as_often_as_they_like(api: Api) -> None:
    async with at(api, "192.0.2.1") as login:
        for _ in range(30):
            assert (await login("admin", PASSWORD)).status_code == 200


async def test_guesses_at_many_users_from_one_address_are_limited(api: Api) -> None:
    async with at(api, "192.0.2.1") as guess, at(api, "192.0.2.2") as login:
        statuses = [(await guess(f"user-{n}")).status_code for n in range(60)]
        assert statuses == [401] * 50 + [429] * 10
        assert (await login("admin", PASSWORD)).status_code == 200


async def test_guesses_at_one_user_from_many_addresses_are_limited_but_where_the_user_is_known(api: Api) -> None:
    async with at(api, "198.51.100.1") as home:
        assert (await home("admin", PASSWORD)).status_code == 200
        statuses = []
        for n in range(12):
            async with at(api, f"192.0.2.{n}") as guess:
                statuses += [(await guess("admin")).status_code for _ in range(10)]
        assert statuses == [401] * 100 + [429] * 20
        async with at(api, "203.0.113.1") as elsewhere:
            assert (await elsewhere("admin", PASSWORD)).status_code == 429
        assert (await home("admin", PASSWORD)).status_code == 200
        assert [(await home("admin")).status_code for _ in range(11)] == [401] * 10 + [429]


async def test_a_network_of_ipv6_addresses_counts_as_one(api: Api) -> None:
    for n in range(10):
        async with at(api, f"2001:db8:1:2::{n}") as guess:
            assert (await guess("admin")).status_code == 401
    async with at(api, "2001:db8:1:2:ffff::1") as guess:
        assert (await guess("admin")).status_code == 429
    async with at(api, "2001:db8:1:3::1") as login:
        assert (await login("admin", PASSWORD)).status_code == 200


async def test_a_wrong_old_password_is_limited_as_well(api: Api) -> None:
    body = {"old_password": "wrong", "new_password": "long enough"}
    for _ in range(10):
        assert (await api.ask("/api/auth/password/", method="POST", body=body)).status_code == 401
    assert (await api.ask("/api/auth/password/", method="POST", body=body)).status_code == 429


async def test_behind_a_proxy_that_is_named_addresses_are_the_clients() -> None:
    async with (
        running_api(
            Settings.model_validate({"api": {"proxies": ["127.0.0.1", "10.0.0.0/8"]}}), store=MemoryStore()
        ) as api,
        at(api, "127.0.0.1") as proxy,
        at(api, "192.0.2.9") as stranger,
    ):
        for _ in range(10):
            await proxy("admin", **{"X-Forwarded-For": "203.0.113.9, 192.0.2.1, 10.1.2.3"})
        from_there = {"X-Forwarded-For": "198.51.100.7, 192.0.2.1"}
        assert (await proxy("admin", **from_there)).status_code == 429, "what is left of it, anybody may have written"
        assert (await proxy("admin", PASSWORD, **{"X-Forwarded-For": "192.0.2.2"})).status_code == 200
        assert (await proxy("admin", PASSWORD, **{"X-Forwarded-For": "garbage"})).status_code == 200
        assert (await proxy("admin", PASSWORD)).status_code == 200
        for n in range(10):
            await stranger("viewer", **{"X-Forwarded-For": f"192.0.2.{n}"})
        assert (await stranger("viewer")).status_code == 429, "only a proxy is believed"


async def test_a_login_expires(api: Api) -> None:
    assert (await api.ask("/api/system/cpu/")).status_code == 200
    api.clock.advance(43_199)
    assert (await api.ask("/api/system/cpu/")).status_code == 200
    api.clock.advance(2)
    assert (await api.ask("/api/system/cpu/")).status_code == 401


async def test_logging_out_ends_this_login_and_everywhere_ends_all(api: Api) -> None:
    first, second = await api.login(), await api.login()
    await api.data("/api/auth/logout/", who=first, method="POST")
    assert (await api.ask("/api/system/cpu/", who=first)).status_code == 401
    assert (await api.ask("/api/system/cpu/", who=second)).status_code == 200
    await api.data("/api/auth/logout/", who=second, method="POST", body={"everywhere": True})
    assert (await api.ask("/api/system/cpu/", who=second)).status_code == 401
    assert (await api.ask("/api/system/cpu/", who="admin")).status_code == 401
    assert (await api.ask("/api/system/cpu/", who=await api.login())).status_code == 200


async def test_a_new_password_ends_the_old_logins(api: Api) -> None:
    change = {"old_password": PASSWORD, "new_password": "another fine password"}
    wrong = await api.refused("/api/auth/password/", method="POST", body=change | {"old_password": "no"})
    assert wrong == (401, "原密码错误")
    await api.data("/api/auth/password/", method="POST", body=change)
    assert (await api.ask("/api/system/cpu/")).status_code == 401
    assert (
        await api.http.post("/api/auth/login/", json={"username": "viewer", "password": PASSWORD})
    ).status_code == 401
    assert await api.login("viewer", "another fine password")


async def test_disabling_a_user_and_taking_a_role_away_take_effect_at_once(api: Api) -> None:
    user = "/api/auth/users/operator/"
    await api.data(user, who="admin", method="PATCH", body={"role": "viewer"})
    assert (await api.data("/api/auth/me/", who="operator"))["permissions"] == ["read"]
    await api.data(user, who="admin", method="PATCH", body={"disabled": True})
    assert (await api.ask("/api/system/cpu/", who="operator")).status_code == 401
    answer = await api.http.post("/api/auth/login/", json={"username": "operator", "password": PASSWORD})
    assert answer.status_code == 401
    await api.data(user, who="admin", method="PATCH", body={"disabled": False})
    assert (await api.ask("/api/system/cpu/", who="operator")).status_code == 401, "old logins stay void"
    assert await api.login("operator")


async def test_the_last_admin_cannot_be_locked_out(api: Api) -> None:
    for change in ({"disabled": True}, {"role": "viewer"}):
        status, message = await api.refused("/api/auth/users/admin/", who="admin", method="PATCH", body=change)
        assert status == 409
        assert "admin" in message
    body = {"username": "root2", "password": PASSWORD, "role": "admin"}
    await api.data("/api/auth/users/", who="admin", method="POST", body=body)
    await api.data("/api/auth/users/admin/", who="admin", method="PATCH", body={"disabled": True})


async def test_users_are_listed_without_anything_that_helps_to_log_in(api: Api) -> None:
    answer = await api.ask("/api/auth/users/", who="admin")
    assert "argon2" not in answer.text
    assert [u["username"] for u in answer.json()["data"]] == ["viewer", "operator", "admin"]
    status, _ = await api.refused(
        "/api/auth/users/", who="admin", method="POST", body={"username": "viewer", "password": PASSWORD}
    )
    assert status == 409


@pytest.mark.parametrize(
    "body",
    [
        {"username": "x y", "password": PASSWORD},
        {"username": "x", "password": "short"},
        {"username": "x", "password": PASSWORD, "role": "root"},
        {"username": "x", "password": PASSWORD, "is_admin": True},
        {"username": "../x", "password": PASSWORD},
        {"username": "x\n", "password": PASSWORD},
        {"password": PASSWORD},
        {"username": ["x"], "password": PASSWORD},
        [],
        "text",
        None,
    ],
)
async def test_bad_users_are_refused_by_field(api: Api, body: Any) -> None:
    status, message = await api.refused("/api/auth/users/", who="admin", method="POST", body=body, accept_language="en")
    assert status == 422
    assert message


@pytest.mark.parametrize(
    ("body", "chinese", "english"),
    [
        ({"password": PASSWORD}, "缺少参数 username", "Parameter username is missing"),
        (
            {"username": "x", "password": "short"},
            "参数 password 必须是 至少 8 个字符的文本",
            "Parameter password must be text of 8 or more characters",
        ),
        (
            {"username": "x", "password": PASSWORD, "role": "root"},
            "参数 role 必须是 以下之一: viewer, operator, admin",
            "Parameter role must be one of viewer, operator, admin",
        ),
        (
            {"username": 1, "password": PASSWORD},
            "参数 username 必须是 字符串",
            "Parameter username must be a string",
        ),
        (
            {"username": "x", "password": PASSWORD, "rôle": 1},
            "未知参数 rôle, 允许的参数: username, password, role",
            "Unknown parameter rôle; allowed parameters: username, password, role",
        ),
        ([], "请求体必须是 JSON 对象", "The request body must be a JSON object"),
    ],
)
async def test_refusals_of_bodies_speak_both_languages(api: Api, body: Any, chinese: str, english: str) -> None:
    asked: dict[str, Any] = {"who": "admin", "method": "POST", "body": body}
    assert await api.refused("/api/auth/users/", **asked) == (422, chinese)
    assert await api.refused("/api/auth/users/", accept_language="en", **asked) == (422, english)


async def test_an_api_token_is_shown_once_expires_and_is_revoked(api: Api) -> None:
    made = await api.data(
        "/api/auth/tokens/", who="admin", method="POST", body={"name": "<b>grafana</b>", "expires_in_days": 1}
    )
    token = made["token"]
    assert token.startswith(f"lw_{made['id']}_")
    listed = await api.ask("/api/auth/tokens/", who="admin")
    secret = token.rsplit("_", 1)[1]
    assert secret not in listed.text
    store = api.store
    assert isinstance(store, MemoryStore)
    assert secret not in str(store.tables), "only its hash is kept"
    assert (await api.ask("/api/system/cpu/", who=token)).status_code == 200
    api.clock.advance(86_401)
    assert (await api.ask("/api/system/cpu/", who=token)).status_code == 401
    forever = await api.data(
        "/api/auth/tokens/", who=await api.login(), method="POST", body={"name": "x", "expires_in_days": None}
    )
    api.clock.advance(10 * 365 * 86_400)
    assert (await api.ask("/api/system/cpu/", who=forever["token"])).status_code == 200
    revoked = await api.data(f"/api/auth/tokens/{forever['id']}/", who=await api.login(), method="DELETE")
    assert revoked["status"] == "revoked"
    assert (await api.ask("/api/system/cpu/", who=forever["token"])).status_code == 401


async def test_a_cookie_reads_but_writes_only_with_its_csrf_token(api: Api) -> None:
    credentials = {"username": "admin", "password": PASSWORD, "cookie": True}
    answer = await api.http.post("/api/auth/login/", json=credentials)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    me = (await api.http.get("/api/auth/me/")).json()["data"]
    assert me["name"] == "admin"

    wish = {"username": "mallory", "password": PASSWORD, "role": "admin"}
    for headers in ({}, {"X-CSRF-Token": "0" * 64}, {"X-CSRF-Token": ""}):
        refused = await api.http.post("/api/auth/users/", json=wish, headers=headers)
        assert refused.status_code == 403
    cross = {"X-CSRF-Token": me["csrf_token"], "Sec-Fetch-Site": "cross-site"}
    assert (await api.http.post("/api/auth/users/", json=wish, headers=cross)).status_code == 403
    accepted = await api.http.post("/api/auth/users/", json=wish, headers={"X-CSRF-Token": me["csrf_token"]})
    assert accepted.status_code == 200
    out = await api.http.post("/api/auth/logout/", headers={"X-CSRF-Token": me["csrf_token"]})
    assert out.status_code == 200
    assert (await api.http.get("/api/auth/me/")).status_code == 401


async def test_another_site_cannot_log_a_browser_in(api: Api) -> None:
    credentials = {"username": "admin", "password": PASSWORD, "cookie": True}
    answer = await api.http.post("/api/auth/login/", json=credentials, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8000", "", "localhost.evil", "[::2]:8000"])
async def test_a_foreign_host_header_is_refused_on_loopback(api: Api, host: str) -> None:
    answer = await api.http.get("/", headers={"Host": host})
    assert answer.status_code == 421
    assert answer.json()["success"] is False


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1234", "[::1]:8000"])
async def test_this_machine_s_own_names_are_served(api: Api, host: str) -> None:
    assert (await api.http.get("/healthz", headers={"Host": host})).status_code == 200


async def test_hosts_that_were_allowed_are_served() -> None:
    settings = Settings.model_validate({"api": {"allowed_hosts": ["lapwing.example"]}})
    async with running_api(settings, store=MemoryStore()) as api:
        assert (await api.http.get("/healthz", headers={"Host": "lapwing.example:8000"})).status_code == 200
        assert (await api.http.get("/healthz", headers={"Host": "other.example"})).status_code == 421


async def test_no_other_origin_is_ever_let_in(api: Api) -> None:
    answer = await api.ask("/api/system/cpu/", origin="https://evil.example")
    assert not [h for h in answer.headers if h.startswith("access-control")]
    preflight = await api.ask("/api/system/cpu/", method="OPTIONS", origin="https://evil.example")
    assert preflight.status_code == 405
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"


# -- through a real store ---------------------------------------------------------------------------------------------


async def test_accounts_survive_a_restart_and_reach_other_replicas(fresh_store: Settings) -> None:
    async with running_api(fresh_store) as one, running_api(fresh_store, clock=one.clock) as two:
        one.hear(host_sample())
        two.hear(host_sample())
        await two.deps.accounts.follow()
        await one.deps.accounts.follow()
        token = await one.login("viewer")
        assert (await two.ask("/api/system/cpu/", who=token)).status_code == 200, "one key signs for all replicas"
        made = await one.data("/api/auth/tokens/", who="admin", method="POST", body={"name": "t"})
        await two.deps.accounts.follow()
        assert (await two.ask("/api/system/cpu/", who=made["token"])).status_code == 200

        await one.data("/api/auth/logout/", who=token, method="POST")
        await one.data(f"/api/auth/tokens/{made['id']}/", who="admin", method="DELETE")
        await two.deps.accounts.follow()
        assert (await two.ask("/api/system/cpu/", who=token)).status_code == 401
        assert (await two.ask("/api/system/cpu/", who=made["token"])).status_code == 401

    async with running_api(fresh_store, clock=one.clock) as again:
        assert [u.username for u in again.deps.accounts.users()] == ["admin", "operator", "viewer"]
        assert await again.login("viewer")


async def test_revocations_are_forgotten_when_the_logins_have_expired_anyway(fresh_store: Settings) -> None:
    async with running_api(fresh_store) as api:
        for _ in range(3):
            await api.data("/api/auth/logout/", who=await api.login(), method="POST")
        assert len(api.deps.accounts._contents.keys) == 4, "the signing key and three revocations"
        api.clock.advance(43_300)
        await api.deps.accounts.open()
        assert await api.login(), "the signing key is kept"
        assert await api.store.query("SELECT count() FROM keyring FINAL") == [(1,)]


async def test_the_first_start_makes_an_admin_and_the_setting_always_wins(fresh_store: Settings) -> None:
    async with running_api(fresh_store) as api:
        accounts = api.deps.accounts
        assert await accounts.first_start(None) is None, "there is one already"
        old = await api.login()
        assert await accounts.first_start(PASSWORD) is None
        assert accounts.principal(old) is not None, "the same password changes nothing"
        await accounts.first_start("a password from the settings")
        assert accounts.principal(old) is None
        assert await api.login("admin", "a password from the settings")


async def test_a_generated_password_is_told_once() -> None:
    async with running_api() as api:
        store = api.store
        assert isinstance(store, MemoryStore)
        store.tables["users"].clear()
        store.writes += 1
        await api.deps.accounts.follow()
        password = await api.deps.accounts.first_start(None)
        assert password is not None
        assert len(password) >= 20
        assert password not in json.dumps(store.tables["users"], default=str)
        assert await api.login("admin", password)
        assert await api.deps.accounts.first_start(None) is None


async def test_while_the_store_is_away_logins_go_on_and_writes_say_so(api: Api) -> None:
    store = api.store
    assert isinstance(store, MemoryStore)
    store.away = True
    assert await api.login("viewer")
    assert (await api.ask("/api/system/cpu/")).status_code == 200
    for path, method, body in (
        ("/api/auth/users/", "POST", {"username": "x", "password": PASSWORD}),
        ("/api/auth/tokens/", "POST", {"name": "x"}),
        ("/api/auth/logout/", "POST", None),
    ):
        answer = await api.ask(path, who="admin", method=method, body=body)
        assert answer.status_code == 503, path
        assert int(answer.headers["retry-after"]) >= 1
