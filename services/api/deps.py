"""What the routes work with, made once by ``service`` (or by a test, with fakes)."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.api.auth.accounts import Accounts
from services.api.auth.basic import Basic
from services.api.auth.gate import Gate
from services.api.auth.limiter import Limiter
from services.api.auth.passwords import Passwords
from services.api.auth.vault import Vault
from services.api.broadcast import Hub
from services.api.dead_letters import DeadLetterOffice
from services.api.decisions import Decisions
from services.api.history import History
from services.api.hosts import Directory, OwnHost
from services.api.intake import Intake
from services.api.ledger import Ledger
from services.api.links import Links
from services.api.live import Live
from services.api.overload import Learned
from services.api.past import Past
from services.api.private_addresses import Resolve, resolved
from services.api.queries import Queries
from services.api.told import Told
from shared.models.registry import models_dir
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.health import Health
from shared.runtime.settings import Settings


@dataclass
class Deps:
    settings: Settings
    clock: Clock
    health: Health
    live: Live
    directory: Directory
    queries: Queries
    past: Past
    history: History
    ledger: Ledger
    hub: Hub
    passwords: Passwords
    accounts: Accounts
    gate: Gate
    logins: Limiter
    basic: Basic
    intake: Intake
    dead_letters: DeadLetterOffice
    decisions: Decisions
    learned: Learned
    links: Links
    told: Told = field(default_factory=Told)
    resolve: Resolve = resolved
    started_ms: int = 0
    patience: float = 15.0
    """Seconds the alerter has to answer."""
    listening: list[str] = field(default_factory=list)
    """Names and addresses this API answers to, once it listens."""
    ready: bool = True
    """False while the service starts: whoever asks already is told to wait a moment."""


def make(
    settings: Settings,
    *,
    clock: Clock | None = None,
    health: Health | None = None,
    passwords: Passwords | None = None,
) -> Deps:
    """Everything, with a store that is not open yet."""
    clock = clock or SystemClock()
    queries = Queries()
    live = Live(max_future_ms=round(settings.ingest.max_future_seconds * 1000))
    passwords = passwords or Passwords()
    logins = Limiter(settings.api.login_attempts_per_minute)
    decisions = Decisions(queries, clock)
    accounts = Accounts(Vault(queries), passwords, clock, token_ttl=settings.api.token_ttl)
    return Deps(
        settings=settings,
        clock=clock,
        health=health or Health(),
        live=live,
        directory=Directory(live, OwnHost.of(settings), round(settings.alerter.host_silent_after * 1000)),
        queries=queries,
        past=Past(queries),
        history=History(queries),
        ledger=Ledger(queries, clock),
        hub=Hub(),
        passwords=passwords,
        accounts=accounts,
        gate=Gate(accounts),
        logins=logins,
        basic=Basic(accounts, logins, clock),
        intake=Intake(settings),
        dead_letters=DeadLetterOffice(queries, settings),
        decisions=decisions,
        links=Links(settings, queries, decisions),
        started_ms=clock.now_ms(),
        learned=Learned(models_dir(settings.data_dir), clock),
    )
