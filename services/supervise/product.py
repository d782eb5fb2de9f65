"""The whole product as separate processes: which there are, what each is told, who is up before whom.

The same commands a person would type, with the same settings; only the addresses of broker and store are filled in,
where those are processes of ours.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from services.supervise.member import Member, Together
from services.supervise.relay import Relay
from shared.broker.local import LocalKafka
from shared.broker.ports import two_ports
from shared.runtime.lifecycle import Service
from shared.runtime.pulse import age
from shared.runtime.settings import Settings
from shared.store.clickhouse import address_of
from shared.store.front.users import WRITER, users_of

NAME = "lapwing"
STAGES = (("broker", "store", "agent"), ("api", "ingest", "detector", "alerter"))
"""Who is up before whom: what the others need, and the agent, which needs nobody and should miss nothing."""

STOP_WITHIN = {"broker": 1.9, "store": 1.9, "agent": 1.9, "api": 2.3, "ingest": 2.3, "detector": 2.3, "alerter": 2.3}
"""Seconds; the slowest of each stage together stay under what ``Runner`` gives to all."""

COMMANDS = {"store": ("store", "serve")}


@dataclass(frozen=True)
class Plan:
    """``names`` are the processes, ``environ`` is what they are told; the store's, for which the store is a directory
    and not an address, is told ``store_environ``.
    """

    names: tuple[str, ...]
    environ: Mapping[str, str]
    store_environ: Mapping[str, str]


def plan(settings: Settings, environ: Mapping[str, str]) -> Plan:
    """A broker and a store of our own where the settings name none. Makes what they remember in the data directory,
    which belongs to the caller.
    """
    told = {**environ, "LAPWING_DATA_DIR": str(settings.data_dir.absolute())}
    ours = set()
    if "://" in settings.kafka.bootstrap_servers:
        ours.add("broker")
        told["LAPWING_KAFKA__BOOTSTRAP_SERVERS"] = LocalKafka(settings.data_dir).address
    at_store: dict[str, str] = {}
    if settings.clickhouse.dsn.startswith("chdb://"):
        ours.add("store")
        port = settings.store.port or two_ports(settings.data_dir / "run" / "store-ports")[0]
        at_store = {"LAPWING_CLICKHOUSE__DSN": settings.clickhouse.dsn, "LAPWING_STORE__PORT": str(port)}
        told["LAPWING_CLICKHOUSE__DSN"] = _dsn(settings, port)
        for name in ("LAPWING_CLICKHOUSE__PASSWORD", "LAPWING_CLICKHOUSE__PASSWORD_FILE"):
            told.pop(name, None)  # not of this store
    if told.get("LAPWING_LOG__FORMAT", "auto") == "auto":
        told["LAPWING_LOG__FORMAT"] = "text"
    told["LAPWING_API__PORT"] = str(settings.api.port)
    names = tuple(name for stage in STAGES for name in stage if name not in ("broker", "store") or name in ours)
    return Plan(names, told, {**told, **at_store})


def parts(plan: Plan, relay: Relay) -> list[Service]:
    """For ``Runner``: stages start from the left and stop from the right."""
    out: list[Service] = []
    for stage in STAGES:
        members = [_member(name, plan, relay) for name in stage if name in plan.names]
        if members:
            out.append(members[0] if len(members) == 1 else Together(members))
    return out


def _member(name: str, plan: Plan, relay: Relay) -> Member:
    command = (sys.executable, "-m", "services", *COMMANDS.get(name, (name,)))
    environ = plan.store_environ if name == "store" else plan.environ
    data_dir = Path(environ["LAPWING_DATA_DIR"])
    return Member(
        name, command, environ, relay, stop_within=STOP_WITHIN[name], silent=functools.partial(age, data_dir, name)
    )


def _dsn(settings: Settings, port: int) -> str:
    """For the others on this machine, who may do everything there."""
    store = settings.store
    scheme = "https" if store.ssl_certfile else "http"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(store.host, store.host)  # noqa: S104 - where to ask, not to listen
    password = users_of(settings).passwords[WRITER]
    database = address_of(settings).database
    return f"{scheme}://{WRITER}:{quote(password, safe='')}@{f'[{host}]' if ':' in host else host}:{port}/{database}"
