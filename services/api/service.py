"""The API as a part of the product: opens, fills, listens, follows; and lets go in the opposite order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.types import Receive, Scope, Send

from services.api import deps as wiring
from services.api.app import create_app
from services.api.errors import ApiError
from services.api.feed import TOPICS, Feed
from services.api.fill import fill
from services.api.server import Server
from shared.bus.port import Hasten, Publisher, Read, Stored, Tail
from shared.runtime.clock import Clock
from shared.runtime.health import Health
from shared.runtime.retry import backoff
from shared.runtime.settings import Settings
from shared.schemas.topics import CONTROL
from shared.store.port import Store, StoreError

log = logging.getLogger(__name__)

HANDLES = 3  # questions to the store at a time
FOLLOW = 3.0  # seconds in which what one replica revokes reaches the others
RECENT = 2000  # messages of each partition that are read again at start

OpenStore = Callable[[Settings, str], Awaitable[Store]]
OpenTail = Callable[[Settings], Tail]
OpenPublisher = Callable[[Settings], Publisher]


def build(
    settings: Settings,
    *,
    clock: Clock | None = None,
    health: Health | None = None,
    open_store: OpenStore | None = None,
    open_tail: OpenTail | None = None,
    open_control: OpenTail | None = None,
    open_publisher: OpenPublisher | None = None,
    stored: Stored | None = None,
    read: Read | None = None,
    hasten: Hasten | None = None,
) -> ApiService:
    """``stored``: where the broker forgets, posted events are answered for only when it says that they are stored.
    ``read``: and no more than fits into it are published before it says that those before were read. ``hasten``: who
    stores them is asked not to wait for more.
    """
    return ApiService(
        settings,
        wiring.make(settings, clock=clock, health=health),
        open_store or _store,
        open_tail or _tail,
        open_control or _control,
        open_publisher or _publisher,
        stored,
        read,
        hasten,
    )


class ApiService:
    """``url`` and ``first_password`` are there once ``start`` has returned."""

    name = "api"

    def __init__(
        self,
        settings: Settings,
        deps: wiring.Deps,
        open_store: OpenStore,
        open_tail: OpenTail,
        open_control: OpenTail,
        open_publisher: OpenPublisher,
        stored: Stored | None,
        read: Read | None,
        hasten: Hasten | None,
    ) -> None:
        self.url = ""
        self.first_password: str | None = None
        self.deps = deps
        self._settings = settings
        self._open_store = open_store
        self._open_tail = open_tail
        self._open_control = open_control
        self._open_publisher = open_publisher
        self._stored = stored
        self._read = read
        self._hasten = hasten
        self._tail: Tail | None = None
        self._control: Tail | None = None
        self._publisher: Publisher | None = None
        self._app = create_app(deps)
        self._server = Server(self._app)
        self._admin = Server(local(self._app))
        self._tasks: list[asyncio.Task[None]] = []
        deps.ready = False
        deps.health.progress["api"] = self._progress
        deps.health.dependencies["api"] = lambda: None if deps.ready else "the API is starting"
        deps.health.dependencies["api: store"] = deps.queries.trouble
        deps.health.warnings["api: bus"] = self._bus_trouble

    async def start(self) -> None:
        # Take the port first: whoever cannot have it should learn so at once.
        address = self._settings.api
        self.url = f"http://{_shown(address.host)}:{(await self._server.start_tcp(address.host, address.port))[1]}"
        self.deps.listening.append(address.host)
        await self._open()
        password = self._settings.admin_password
        self.first_password = await self.deps.accounts.first_start(password.get_secret_value() if password else None)
        # Follow the topics before reading the store, so that nothing falls between.
        self._tail = self._open_tail(self._settings)
        await self._tail.start()
        self._follow(Feed(self._tail, self.deps.live, self.deps.hub, self.deps.told, self.deps.clock).run())
        self._control = self._open_control(self._settings)
        await self._control.start()
        self._follow(self.deps.told.follow(self._control))
        await fill(self.deps)
        self._publisher = self._open_publisher(self._settings)
        await self._publisher.start()
        self.deps.intake.open(self._publisher, self._stored, self._read, self._hasten)
        self.deps.decisions.open(self._publisher)
        await self._admin.start_unix(admin_socket(self._settings))
        if others_may_write(self._settings):
            self._follow(self._follow_accounts())
        self._follow(self._tell_again())
        self.deps.ready = True

    async def watch(self) -> None:
        await asyncio.wait(
            {*self._tasks, asyncio.create_task(self._server.watch())}, return_when=asyncio.FIRST_COMPLETED
        )
        for task in self._tasks:
            if task.done():
                await task

    async def stop(self) -> None:
        self.deps.ready = False
        self.deps.hub.close()
        await asyncio.gather(self._server.stop(), self._admin.stop())
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._publisher:
            await self._publisher.stop()
        for tail in (self._tail, self._control):
            if tail:
                await tail.stop()
        self.deps.passwords.close()
        await self.deps.ledger.close()
        await self.deps.queries.close()

    def _follow(self, work: Any) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _open(self) -> None:
        """Waits for the store as long as it takes."""
        for delay in backoff():
            stores: list[Store] = []
            try:
                for number in range(HANDLES):
                    stores.append(await self._open_store(self._settings, f"api-{number + 1}"))
                self.deps.queries.open(stores)
                await self.deps.accounts.open()
                return
            except (StoreError, ApiError) as error:
                await self.deps.queries.close() if len(stores) == HANDLES else await _close(stores)
                if getattr(error, "permanent", False):
                    raise
                log.warning("waiting for the store", extra={"reason": str(error), "seconds": round(delay, 1)})
                await asyncio.sleep(delay)

    async def _follow_accounts(self) -> None:
        while True:
            await asyncio.sleep(FOLLOW)
            try:
                await self.deps.accounts.follow()
            except (ApiError, StoreError) as error:
                log.debug("accounts could not be read again", extra={"reason": str(error)})

    async def _tell_again(self) -> None:
        await self.deps.decisions.tell_again()
        await asyncio.Event().wait()  # done, and not dead

    def _bus_trouble(self) -> str | None:
        troubles = (tail.trouble() for tail in (self._tail, self._control) if tail)
        return next(filter(None, troubles), None)

    def _progress(self) -> str | None:
        dead = [t for t in self._tasks if t.done()]
        return "the API no longer follows the topics or the accounts" if dead else None


def local(app: Any) -> Any:
    """The same application for the admin socket: whoever may open that file is the admin."""

    async def trusting(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "lapwing.local": True}, receive, send)

    return trusting


def admin_socket(settings: Settings) -> Any:
    return settings.data_dir.absolute() / "run" / "admin.sock"


def others_may_write(settings: Settings) -> bool:
    """Whether another process can reach the accounts: an embedded store is open to its own, unless it is served."""
    return settings.store.beside_up or not settings.clickhouse.dsn.startswith("chdb://")


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::", ""):  # noqa: S104
        return "127.0.0.1" if host != "::" else "[::1]"
    return f"[{host}]" if ":" in host else host


async def _close(stores: Sequence[Store]) -> None:
    await asyncio.gather(*(s.close() for s in stores), return_exceptions=True)


async def _store(settings: Settings, role: str) -> Store:
    from shared.store.clickhouse import open_store

    return await open_store(settings, role)


def _tail(settings: Settings) -> Tail:
    from shared.bus.kafka import tail

    return tail(settings.kafka, TOPICS, "lapwing-api", recent=RECENT)


def _control(settings: Settings) -> Tail:
    from shared.bus.kafka import tail

    return tail(settings.kafka, [CONTROL], "lapwing-api-control")


def _publisher(settings: Settings) -> Publisher:
    from shared.bus.kafka import publisher

    return publisher(settings.kafka, "lapwing-api")
