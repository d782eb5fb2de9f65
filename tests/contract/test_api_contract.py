"""The HTTP contract, key by key: what clients and acceptance checks rely on."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.api import app, shapes
from services.api.fill import fill
from shared.runtime.settings import Settings
from shared.schemas.topics import ALERTS, ANOMALIES
from shared.store.clickhouse import open_store
from tests.support.api import Api, running_api, type_of
from tests.support.samples import T0, host_sample
from tests.support.store import fresh_store

__all__ = ["fresh_store"]

HOST = host_sample()["host_id"]
EIGHT = ("system", "cpu", "memory", "disks", "network", "processes", "gpu", "monitor")


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """Fed from memory."""
    async with running_api() as it:
        it.hear(host_sample())
        yield it


@pytest.mark.parametrize("route", [r for r in app.ROUTES if r.fast], ids=lambda r: r.path)
async def test_the_eight_have_exactly_the_promised_keys(api: Api, route: Any) -> None:
    type_of(await api.data(route.path), route.data)


async def test_system(api: Api) -> None:
    assert await api.data("/api/system/system/") == {
        "hostname": "web-1",
        "platform": "Linux-6.1.0-28-amd64-x86_64-with-glibc2.36",
        "architecture": "x86_64",
        "boot_time": "2027-01-12T17:30:00Z",
        "uptime": "2 days, 14:30:00",
    }


async def test_uptime_moves_with_the_clock_and_is_never_older_than_a_second(api: Api) -> None:
    await api.data("/api/system/system/")
    api.clock.advance(1)
    assert (await api.data("/api/system/system/"))["uptime"] == "2 days, 14:30:01"


async def test_cpu(api: Api) -> None:
    assert await api.data("/api/system/cpu/") == {
        "cpu_count": 4,
        "cpu_percent": 23.4,
        "cpu_freq": {"current": 2894.5, "min": 800.0, "max": 3600.0},
        "load_avg": [0.92, 0.75, 0.61],
    }


async def test_a_machine_that_does_not_say_its_frequency_has_nulls(api: Api) -> None:
    api.hear(host_sample(ts=T0 + 1000, cpu={"freq": {}}, load=None))
    data = await api.data("/api/system/cpu/")
    assert data["cpu_freq"] == {"current": None, "min": None, "max": None}
    assert data["load_avg"] == [0.92, 0.75, 0.61], "the load that was heard last still stands"


async def test_processes_are_sorted_and_limited(api: Api) -> None:
    by_cpu = await api.data("/api/system/processes/?limit=1")
    assert [p["pid"] for p in by_cpu] == [4242]
    assert by_cpu[0] == {
        "pid": 4242,
        "name": "postgres",
        "status": "running",
        "cpu_percent": 61.3,
        "memory_percent": 12.5,
        "memory_info": {"rss": 2 << 30, "vms": 6 << 30},
        "create_time": "2027-01-14T08:00:00Z",
        "cmdline": ["postgres:", "app", "web", "10.0.0.17(53122)", "SELECT"],
    }
    young_first = await api.data("/api/system/processes/?sort_by=create_time")
    assert [p["pid"] for p in young_first] == [4242, 1]
    by_memory = await api.data("/api/system/processes/?sort_by=memory_percent&limit=1000")
    assert [p["pid"] for p in by_memory] == [4242, 1]


async def test_gpu_with_a_device(api: Api) -> None:
    data = await api.data("/api/system/gpu/")
    assert data["gpu_available"] is True
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", data["timestamp"])
    assert set(data["gpu_info"][0]) == {
        "id",
        "name",
        "load",
        "memory_total",
        "memory_used",
        "memory_util",
        "temperature",
    }


@pytest.mark.parametrize(
    ("reason", "chinese", "english"),
    [
        ("no_device", "未检测到GPU设备", "No GPU device detected"),
        (
            "library_missing",
            "GPU监控不可用,请安装GPUtil库",
            "GPU monitoring is not available, please install the GPUtil library",
        ),
    ],
)
async def test_gpu_says_why_there_is_none(api: Api, reason: str, chinese: str, english: str) -> None:
    api.hear(host_sample(ts=T0 + 1000, gpus={"devices": [], "reason": reason}))
    data = await api.data("/api/system/gpu/")
    assert set(data) == {"gpu_available", "message", "timestamp"}
    assert (data["gpu_available"], data["message"]) == (False, chinese)
    answer = await api.ask("/api/system/gpu/", accept_language="en")
    assert answer.json()["data"]["message"] == english
    assert (await api.data("/api/system/monitor/"))["gpus"] == []


async def test_monitor_is_the_eight_in_one(api: Api) -> None:
    monitor = await api.data("/api/system/monitor/")
    assert list(monitor) == ["system", "cpu", "memory", "disks", "network", "processes", "gpus"]
    for name in ("system", "cpu", "memory", "disks", "network", "processes"):
        assert monitor[name] == await api.data(f"/api/system/{name}/")
    assert monitor["gpus"] == (await api.data("/api/system/gpu/"))["gpu_info"]


@pytest.mark.parametrize("name", EIGHT)
async def test_with_and_without_the_slash_there_is_no_redirect(api: Api, name: str) -> None:
    with_slash = await api.ask(f"/api/system/{name}/")
    without = await api.ask(f"/api/system/{name}")
    assert (with_slash.status_code, without.status_code) == (200, 200)
    assert with_slash.content == without.content


async def test_without_a_token_everything_but_login_is_401_to_the_letter(api: Api) -> None:
    for route in app.ROUTES:
        if route.path.startswith("/api/") and route.path != "/api/auth/login/":
            path = route.path.replace("{name}", "admin").replace("{id}", "x")
            answer = await api.ask(path, who=None, method=route.method)
            assert answer.status_code == 401, path
            envelope = {"success": False, "code": 401, "message": "未授权访问"}
            assert answer.json() == (envelope if route.enveloped else "Unauthorized"), path
    assert (await api.refused("/api/no/such/route/", who=None))[0] == 401


async def test_unknown_routes_and_wrong_methods_are_envelopes_too(api: Api) -> None:
    assert await api.refused("/api/system/nothing/") == (404, "接口不存在")
    assert await api.refused("/api/system/nothing", accept_language="en") == (404, "There is no such route")
    answer = await api.ask("/api/system/cpu/", method="DELETE")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert (await api.refused("/api/system/cpu/", method="POST", body={}))[0] == 405
    assert (await api.refused("/nothing", who=None))[0] == 404


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("en", "Success"),
        ("en-US,en;q=0.9", "Success"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "操作成功"),
        ("fr, en;q=0.5", "Success"),
        ("de", "操作成功"),
        ("en;q=banana", "操作成功"),
        ("", "操作成功"),
    ],
)
async def test_the_client_chooses_the_language(api: Api, header: str, message: str) -> None:
    answer = await api.ask("/api/system/cpu/", accept_language=header)
    assert answer.json()["message"] == message


async def test_a_head_request_is_a_get_without_its_body(api: Api) -> None:
    answer = await api.ask("/api/system/cpu/", method="HEAD")
    assert answer.status_code == 200
    assert (await api.ask("/api/system/stream/", method="HEAD")).status_code == 405, "it would never end"


async def test_login_answers_in_the_promised_shape(api: Api) -> None:
    answer = await api.http.post(
        "/api/auth/login", json={"username": "admin", "password": "correct horse battery staple"}
    )
    data = answer.json()["data"]
    assert set(data) == {"access_token", "token_type", "expires_in"}
    assert (data["token_type"], data["expires_in"]) == ("bearer", 43_200)
    assert (await api.ask("/api/system/cpu/", who=data["access_token"])).status_code == 200


async def test_openapi_documents_every_api_route_with_an_example(api: Api) -> None:
    schema = (await api.http.get("/openapi.json")).json()
    for route in app.ROUTES:
        if route.path.startswith("/api/"):
            operation = schema["paths"][route.path][route.method.lower()]
            assert operation["summary"]
            content = operation["responses"]["200"]["content"]
            assert all("example" in c or "schema" in c for c in content.values()), route.path
            assert ("422" if route.enveloped else "400") in operation["responses"]
            in_path = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
            assert in_path == set(re.findall(r"{(\w+)}", route.path))
    refs = set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(schema)))
    assert refs and refs <= set(schema["components"]["schemas"])
    assert "$defs" not in json.dumps(schema)


@pytest.mark.parametrize("route", [r for r in app.ROUTES if r.data is not None], ids=lambda r: f"{r.method} {r.path}")
def test_documented_examples_have_the_documented_shape(route: Any) -> None:
    if route.media_type == "application/json":
        type_of(route.example, route.data)


async def test_pages_ask_nothing_of_the_world(api: Api) -> None:
    for path in ("/", "/docs", "/page/index.js", "/page/docs.js", "/page/style.css"):
        answer = await api.http.get(path)
        assert answer.status_code == 200
        assert not re.search(r"(?:src|href)=.?https?://|//cdn|@import|innerHTML|document\.write", answer.text), path
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        again = await api.http.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304


# -- what comes from the store ----------------------------------------------------------------------------------------


@pytest.fixture
async def stored(fresh_store: Settings) -> AsyncIterator[Api]:
    """A store with two minutes of one host; memory knows nothing yet."""
    store = await open_store(fresh_store, "writer")
    lines = [
        json.dumps(host_sample(ts=T0 + i * 1000, seq=i, event_id=f"e{i}", cpu={"percent": float(i % 100)}))
        for i in range(120)
    ]
    # Every event twice: repeats count once.
    await store.insert_lines("landing_metrics", "\n".join(lines * 2).encode())
    await store.close()
    async with running_api(fresh_store) as it:
        it.clock.advance(120)
        yield it


async def test_a_replica_that_just_started_answers_from_the_store(stored: Api) -> None:
    await fill(stored.deps)
    for route in app.ROUTES:
        if route.fast:
            type_of(await stored.data(route.path), route.data)
    assert (await stored.data("/api/system/cpu/"))["cpu_percent"] == 19.0
    (host,) = await stored.data("/api/system/hosts/")
    assert (host["id"], host["name"], host["labels"]) == (HOST, "web-1", {"role": "web", "rack": "b4"})
    assert (host["agent_version"], host["status"]) == ("0.1.0", "online")


async def test_at_shows_the_state_as_it_was_then(stored: Api) -> None:
    stored.hear(host_sample(ts=T0 + 119_500))
    for route in app.ROUTES:
        if route.fast:
            type_of(await stored.data(f"{route.path}?at=2027-01-15T08:00:05.500Z"), route.data)
    cpu = await stored.data("/api/system/cpu/?at=2027-01-15T08:00:05.500Z")
    assert cpu["cpu_percent"] == 5.0
    assert cpu["load_avg"] == [0.92, 0.75, 0.61]
    system = await stored.data("/api/system/system/?at=2027-01-15T08:00:05Z")
    assert system["uptime"] == "2 days, 14:30:05"
    disks = await stored.data("/api/system/disks/?at=2027-01-15T08:01:00%2B00:00")
    assert [d["mountpoint"] for d in disks] == ["/", "/srv/data"]
    top = await stored.data("/api/system/processes/?at=2027-01-15T08:00:05Z&limit=1")
    assert [p["pid"] for p in top] == [4242]
    assert top[0]["cmdline"] == ["postgres:", "app", "web", "10.0.0.17(53122)", "SELECT"]
    # What was just heard is not in the store yet, and is there all the same.
    assert (await stored.data("/api/system/cpu/?at=2027-01-15T08:02:00Z"))["cpu_percent"] == 23.4


async def test_at_before_the_first_data_is_a_clear_404(stored: Api) -> None:
    stored.hear(host_sample(ts=T0 + 119_500))
    for name in EIGHT:
        status, message = await stored.refused(f"/api/system/{name}/?at=2027-01-15T07:00:00Z", accept_language="en")
        assert status == 404
        assert "before 2027-01-15T07:00:00Z" in message


async def test_at_long_after_the_last_reading_finds_it(stored: Api) -> None:
    stored.hear(host_sample(ts=T0 + 119_000, cpu=None))
    stored.clock.advance(3 * 86_400)
    stored.tokens["viewer"] = await stored.login("viewer")
    assert (await stored.data("/api/system/cpu/?at=2027-01-18T00:00:00Z"))["cpu_percent"] == 19.0


async def test_cpu_usage_gives_recent_percentages(stored: Api) -> None:
    stored.hear(host_sample(ts=T0 + 120_000, cpu={"percent": 77.0}))
    data = await stored.data("/api/system/cpu_usage/?limit=4")
    assert data == {"data": [17.0, 18.0, 19.0, 77.0]}


async def test_anomalies_alerts_and_logs_have_their_documented_shapes(stored: Api) -> None:
    store = await open_store(stored.deps.settings, "writer")
    anomaly = {
        "kind": "anomaly",
        "event_id": "x1",
        "ts": T0,
        "anomaly_id": "a1",
        "host_id": HOST,
        "host": "web-1",
        "state": "update",
        "score": 2.0,
        "peak_score": 3.0,
        "started_at": T0,
        "contributions": [
            {"metric": "cpu.percent", "share": 1.0, "value": 99.0, "expected_low": 1.0, "expected_high": 20.0}
        ],
    }
    anomaly |= {"severity": "warning", "finding": "unusual"}
    alert = {
        "kind": "alert",
        "event_id": "x2",
        "ts": T0,
        "alert_id": "l1",
        "fingerprint": "f",
        "host_id": HOST,
        "host": "web-1",
        "rule": "busy",
        "state": "firing",
        "previous_state": "pending",
        "severity": "critical",
        "started_at": T0,
    }
    log = {"event_id": "x3", "ts": T0, "host_id": HOST, "host": "web-1", "source": "s", "level": "info", "message": "m"}
    await store.insert_lines("landing_anomalies", json.dumps(anomaly).encode())
    await store.insert_lines("landing_alerts", json.dumps(alert).encode())
    await store.insert_lines("landing_logs", json.dumps(log).encode())
    await store.close()
    for table, shape in (
        ("anomalies", shapes.AnomalyShape),
        ("alerts", shapes.AlertShape),
        ("logs", shapes.LogShape),
    ):
        page = await stored.data(f"/api/system/{table}/")
        assert len(page["items"]) == 1
        type_of(page, shapes.PageOf[shape])  # type: ignore[valid-type]
    (found,) = (await stored.data("/api/system/anomalies/?state=open&severity=warning&min_score=2.5"))["items"]
    assert found["state"] == "open", "an episode that was updated is open"
    assert found["contributions"][0]["metric"] == "cpu.percent"
    assert (await stored.data("/api/system/anomalies/?state=close"))["items"] == []


async def test_what_the_topics_say_of_anomalies_and_alerts_is_taken_without_complaint(api: Api) -> None:
    api.hear({"kind": "score", "event_id": "s", "ts": T0, "host_id": HOST, "host": "web-1", "score": 0.4}, ANOMALIES)
    api.hear(b"not json\n{}\n", ANOMALIES)
    api.hear(b"\xff\xfe", ALERTS)
    (host,) = await api.data("/api/system/hosts/")
    assert host["score"] == 0.4


async def test_completeness_is_told_by_the_ledger(fresh_store: Settings) -> None:
    store = await open_store(fresh_store, "completeness")
    rows = [
        {"host_id": HOST, "hour": "2027-01-14 06:00:00", "run": 1, "stored": 7, "first_seq": 1, "last_seq": 9},
        {"host_id": HOST, "hour": "2027-01-15 06:00:00", "run": 1, "stored": 10, "first_seq": 10, "last_seq": 20,
         "late": 2, "backfilled": 1, "dropped": {"too_many": 1}},
        {"host_id": HOST, "hour": "2027-01-15 08:00:00", "run": 1, "stored": 5, "first_seq": 21, "last_seq": 25},
    ]  # fmt: skip
    async with running_api(fresh_store) as api:
        api.hear(host_sample())
        (host,) = await api.data("/api/system/hosts/")
        assert (host["completeness"], host["ledger"]) == (100.0, None), "nothing has been computed yet"
        await store.insert_lines("completeness", "\n".join(map(json.dumps, rows)).encode())
        (host,) = await api.data("/api/system/hosts/")
        assert host["ledger"] is None, "an answer holds for a minute"
        api.clock.advance(61)
        (host,) = await api.data("/api/system/hosts/")
        type_of([host], list[shapes.Host])
        assert host["completeness"] == 93.75
        assert host["ledger"] == {
            "expected": 16, "stored": 15, "missing": 1, "late": 2, "backfilled": 1,
            "dropped": {"too_many": 1}, "dead_letters": 0, "percent": 93.75,
        }  # fmt: skip
        answer = await api.data("/api/system/completeness/?host=web-1&to=2027-01-15T06:30:00Z")
        type_of(answer, shapes.CompletenessAnswer)
        assert [(h["hour"], h["missing"], h["percent"]) for h in answer["hours"]] == [
            ("2027-01-14T06:00:00Z", 2, 77.77),
            ("2027-01-15T06:00:00Z", 1, 90.9),
        ]
        assert len((await api.data("/api/system/completeness/?from=2027-01-15T06:59:59Z"))["hours"]) == 2
        assert (await api.data("/api/system/completeness/?from=0&to=1"))["hours"] == []
        assert (await api.refused("/api/system/completeness/?from=now&to=now-1h"))[0] == 422
        assert (await api.refused("/api/system/completeness/?host=nobody"))[0] == 404
    await store.close()


async def test_hosts_are_listed_while_the_store_is_away(api: Api) -> None:
    api.store.away = True  # type: ignore[attr-defined]
    (host,) = await api.data("/api/system/hosts/")
    assert (host["completeness"], host["ledger"]) == (100.0, None)
    assert (await api.refused("/api/system/completeness/"))[0] == 503
