"""The front as parts of a process: the engine, opened before anyone else opens it, and the door, opened last."""

from __future__ import annotations

import asyncio
import logging

from shared.runtime.settings import Settings, is_loopback
from shared.store.clickhouse import address_of
from shared.store.front.app import Front
from shared.store.front.engine import Engine
from shared.store.front.listening import Listener
from shared.store.front.roles import write_config
from shared.store.front.users import Users, users_of
from shared.store.port import StoreError

log = logging.getLogger(__name__)


class EnginePart:
    """Holds the embedded engine, with the rights of its roles."""

    name = "engine"

    def __init__(self, settings: Settings) -> None:
        address = address_of(settings)
        if address.path is None:
            raise StoreError(
                "`lapwing store serve` serves the embedded store; LAPWING_CLICKHOUSE__DSN names a server, "
                "which needs no front",
                permanent=True,
            )
        self._settings = settings
        self._database = address.database
        self._path = address.path
        run = settings.data_dir.absolute() / "run"
        self.engine = Engine(address.path, {"config-file": run / "engine.xml", **address.engine}, run)

    async def start(self) -> None:
        write_config(self._settings.data_dir.absolute() / "run", [self._database])
        await asyncio.to_thread(self.engine.open)

    async def watch(self) -> None:
        await asyncio.Event().wait()

    async def stop(self) -> None:
        await asyncio.to_thread(self.engine.close)


class StoreFront:
    """``url`` and ``users`` are there once ``start`` has returned."""

    name = "store front"

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.url = ""
        self.users = Users({})
        self._settings = settings
        self._engine = engine
        self._front: Front | None = None
        self._listener: Listener | None = None

    async def start(self) -> None:
        store = self._settings.store
        self.users = users_of(self._settings)
        self._front = Front(self._engine, self.users)
        self._listener = Listener(self._front, certfile=store.ssl_certfile, keyfile=store.ssl_keyfile)
        port = await self._listener.start(store.host, store.port)
        scheme = "https" if store.ssl_certfile else "http"
        host = f"[{store.host}]" if ":" in store.host else store.host
        self.url = f"{scheme}://{host}:{port}"
        if not store.ssl_certfile and not is_loopback(store.host):
            log.warning("the store is served beyond this machine without TLS", extra={"host": store.host})
        log.info("the store is served", extra={"url": self.url})

    async def watch(self) -> None:
        if self._listener:
            await self._listener.watch()

    async def stop(self) -> None:
        if self._listener:
            await self._listener.stop()
        if self._front:
            self._front.close()
