"""What an answer of the API costs: server CPU a request on a real socket, and the time history takes from chDB.

``python -m benchmarks.api [requests] [hosts] [seconds of history]``. The server is a process of its own, so that its
CPU is told from the client's; a bare ASGI application that sends the same bytes on the same uvicorn is measured in the
same run: compare the ratios.
"""

from __future__ import annotations

import asyncio
import json
import math
import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import uvloop

from benchmarks.fleet import Host
from services.api import deps as wiring
from services.api import metric_values
from services.api.app import create_app
from services.api.broadcast import Hub
from services.api.feed import Feed
from services.api.history import History
from services.api.history_plan import plan
from services.api.live import Live
from services.api.queries import Queries
from services.api.server import Server
from services.api.told import Told
from shared.bus.port import Message
from shared.runtime import logs
from shared.runtime.clock import SystemClock
from shared.runtime.settings import Settings
from shared.schemas.metrics import BY_NAME
from shared.schemas.topics import METRICS
from shared.store.clickhouse import open_store
from shared.store.migrate import migrate
from tests.support.api import PASSWORD, MemoryStore

PATHS = ("cpu", "memory", "disks", "network", "processes", "system", "gpu", "monitor")


def main(requests: int = 3000, hosts: int = 1000, seconds: int = 86_400) -> None:
    asyncio.run(_requests(requests, hosts))
    _fresh_answers()
    _fleet(hosts)
    asyncio.run(_history(seconds))


# -- CPU a request ----------------------------------------------------------------------------------------------------


async def _requests(requests: int, hosts: int) -> None:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    server = spawn.Process(target=_serve, args=(theirs, hosts), daemon=True)
    server.start()
    port, bare_port, token = await asyncio.to_thread(ours.recv)
    try:
        process = psutil.Process(server.pid)
        small = _cost(process, bare_port, "/small", "", requests)
        large = _cost(process, bare_port, "/large", "", requests)
        print(f"{'request':34}{'CPU us':>8}{'bytes':>8}{'of bare ASGI':>14}")
        print(f"{'bare ASGI, 200 bytes':34}{small[0]:8.0f}{small[1]:8}{1:14.1f}")
        print(f"{'bare ASGI, 5 KB':34}{large[0]:8.0f}{large[1]:8}{1:14.1f}")
        for path in PATHS:
            cost, size = _cost(process, port, f"/api/system/{path}/", token, requests)
            base = small[0] if size < 2000 else large[0]
            print(f"{'/api/system/' + path + '/':34}{cost:8.0f}{size:8}{cost / base:14.1f}")
        for path in ("cpu/?host=node-0001", "processes/?limit=5&sort_by=memory_percent", "top/?metric=cpu.percent"):
            cost, size = _cost(process, port, f"/api/system/{path}", token, requests // 3)
            print(f"{'…/' + path[:31]:34}{cost:8.0f}{size:8}{cost / small[0]:14.1f}")
        cost, size = _cost(process, port, "/api/system/cpu/", "wrong", requests // 3)
        print(f"{'…/cpu/ with a wrong token (401)':34}{cost:8.0f}{size:8}{cost / small[0]:14.1f}")
    finally:
        server.terminate()
        server.join(5)


def _cost(process: psutil.Process, port: int, path: str, token: str, requests: int) -> tuple[float, int]:
    """Microseconds of the server's CPU a request (not a number where it was less than the clock can tell), and the
    answer's size; the median of three rounds.
    """
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: */*\r\nUser-Agent: bench\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    ).encode()
    rounds = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        size = 0
        for _ in range(100):
            size = _exchange(connection, request)
        for _ in range(3):
            before = sum(process.cpu_times()[:2])
            for _ in range(requests):
                _exchange(connection, request)
            rounds.append((sum(process.cpu_times()[:2]) - before) / requests * 1e6)
    return statistics.median(rounds) or math.nan, size


def _exchange(connection: socket.socket, request: bytes) -> int:
    connection.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65_536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65_536)
    return length


def _serve(pipe: Connection, hosts: int) -> None:
    # Every request is logged, as in production; where to is not what is measured.
    logs.setup("info", "json", Path(os.devnull).open("w"))  # noqa: SIM115
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serving(pipe, hosts))


async def _serving(pipe: Connection, number: int) -> None:
    deps = wiring.make(Settings())
    deps.queries.open([MemoryStore()])
    await deps.accounts.open()
    await deps.accounts.add_user("admin", PASSWORD, "admin")
    token = (await deps.accounts.login("admin", PASSWORD)).token
    feed = Feed(None, deps.live, deps.hub, deps.told, deps.clock)  # type: ignore[arg-type]
    hosts = [Host(i) for i in range(number)]

    def hear() -> None:
        for host in hosts:
            feed.take(_message(host, _now()))

    hear()
    server, bare = Server(create_app(deps)), Server(_bare)
    pipe.send(((await server.start_tcp("127.0.0.1", 0))[1], (await bare.start_tcp("127.0.0.1", 0))[1], token))
    await asyncio.Event().wait()


def _now() -> int:
    return time.time_ns() // 1_000_000


def _message(host: Host, ts: int) -> Message:
    sample = host.sample(ts)
    return Message(METRICS.name, 0, 0, b"", sample if isinstance(sample, bytes) else json.dumps(sample).encode(), ts)


_SMALL, _LARGE = b'{"x":"' + b"x" * 190 + b'"}', b'{"x":"' + b"x" * 5000 + b'"}'


async def _bare(scope: Any, receive: Any, send: Any) -> None:
    body = _SMALL if scope["path"] == "/small" else _LARGE
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


# -- in this process --------------------------------------------------------------------------------------------------


def _fresh_answers() -> None:
    """What the first request after a new event costs more: the answer is made anew."""
    from services.api import views
    from services.api.responses import encoded

    live = Live()
    host = _heard(live, 1)[0]
    sections = {name: r.value for name, r in host.sections.items()}
    print("\nmaking an answer anew, us: ", end="")
    for name, make in (
        ("cpu", lambda: views.cpu(sections["cpu"], sections["load"])),
        ("processes", lambda: views.processes(sections["processes"])),
        ("monitor", lambda: views.monitor(sections, 0)),
    ):
        print(f"{name} {_timed(lambda make=make: encoded(make()), 2000) * 1e6:.0f}", end="  ")  # type: ignore[misc]
    message = _message(Host(1), _now())
    feed = Feed(None, live, Hub(), Told(), SystemClock())  # type: ignore[arg-type]
    print(f" taking an event from the topic {_timed(lambda: feed.take(message), 2000) * 1e6:.0f}")


def _fleet(number: int) -> None:
    live = Live()
    hosts = _heard(live, number)
    for metric in ("cpu.percent", "memory.percent", "disk.percent", "network.recv_bytes_per_s"):
        seconds = _timed(lambda metric=metric: metric_values.top(live, metric, 10), 200)  # type: ignore[misc]
        print(f"top 10 of {len(hosts)} hosts by {metric:28}{seconds * 1e3:8.3f} ms")


def _heard(live: Live, number: int) -> list[Any]:
    feed = Feed(None, live, Hub(), Told(), SystemClock())  # type: ignore[arg-type]
    for i in range(number):
        feed.take(_message(Host(i), _now()))
    return list(live)


def _timed(work: Callable[[], object], times: int) -> float:
    """Seconds of CPU a call; the median of five rounds."""
    rounds = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(times // 5):
            work()
        rounds.append((time.process_time() - began) / (times // 5))
    return statistics.median(rounds)


# -- history ----------------------------------------------------------------------------------------------------------


async def _history(seconds: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings.model_validate({"data_dir": directory})
        writer = await open_store(settings, "writer")
        await migrate(settings, writer)
        now = _now()
        await _a_day(writer, now, seconds, hosts=20)
        while (await writer.query("SELECT count() FROM system.merges"))[0][0]:
            await asyncio.sleep(0.2)  # what was just written is still being put in order
        queries = Queries()
        queries.open([await open_store(settings, f"api-{i}") for i in range(3)])
        history = History(queries)
        print(f"\n{'history of one host among 20':40}{'points':>8}{'ms':>8}{'CPU ms':>8}")
        bare = await _timed_query(queries)
        print(f"{'SELECT 1':40}{1:8}{bare[0]:8.1f}{bare[1]:8.1f}")
        for words, span, step, aggregate in (
            ("24 h at 1 minute, avg", 86_400, 60, "avg"),
            ("24 h at 1 minute, p95", 86_400, 60, "p95"),
            ("24 h, auto (2 minutes)", 86_400, None, "avg"),
            ("1 h at 1 second", 3600, 1, "avg"),
            ("6 h, auto (30 s)", 21_600, None, "max"),
        ):
            how = plan(now - span * 1000, now, step, now, settings.clickhouse)
            walls, before, points = [], time.process_time(), 0
            for _ in range(30):
                began = time.perf_counter()
                (series,) = await history.series("cpu.percent", ["h7"], aggregate, how)
                walls.append((time.perf_counter() - began) * 1000)
                points = len(series.points)
            cpu = (time.process_time() - before) / 30 * 1000
            print(f"{words:40}{points:8}{statistics.median(walls):8.1f}{cpu:8.1f}")
        await queries.close()
        await writer.close()


async def _timed_query(queries: Queries) -> tuple[float, float]:
    walls, before = [], time.process_time()
    for _ in range(30):
        began = time.perf_counter()
        await queries.rows("SELECT 1")
        walls.append((time.perf_counter() - began) * 1000)
    return statistics.median(walls), (time.process_time() - before) / 30 * 1000


async def _a_day(writer: Any, now: int, seconds: int, *, hosts: int) -> None:
    """A day of one-second samples and of minute rollups, made inside the store."""
    await writer.command(
        "INSERT INTO samples (ts, host_id, seq, sections, cpu_percent) "
        "SELECT fromUnixTimestamp64Milli({now:Int64} - number * 1000, 'UTC'), 'h' || toString(h), number, 63, "
        "(number * 7 + h) % 1000 FROM numbers({seconds:UInt32}) AS n, "
        "(SELECT number AS h FROM numbers({hosts:UInt32})) AS h",
        {"now": now, "seconds": seconds, "hosts": hosts},
    )
    metrics = [name for name, m in BY_NAME.items() if m.label is None][:20]
    await writer.command(
        "INSERT INTO rollup_1m (metric, host_id, label, ts, count, min, max, avg, last, p50, p95, p99, computed_at) "
        "SELECT m, 'h' || toString(h), '', toDateTime(intDiv({now:Int64}, 60000) * 60 - n * 60), 60, 1, 99, "
        "(n * 7 + h) % 100, 50, 50, 95, 99, now64(3) FROM "
        "(SELECT number AS n FROM numbers(intDiv({seconds:UInt32}, 60))) AS n, "
        "(SELECT number AS h FROM numbers({hosts:UInt32})) AS h, "
        "(SELECT arrayJoin({metrics:Array(String)}) AS m) AS m",
        {"now": now, "seconds": seconds, "hosts": hosts, "metrics": metrics},
    )


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
