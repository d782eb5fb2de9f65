"""Rules and routing as they are in force: read again when their files change, refused whole when they are wrong."""

from __future__ import annotations

import logging
from pathlib import Path

from services.alerter.routing.file import RoutingError, load_plan
from services.alerter.routing.plan import Plan
from services.alerter.rules.book import Book
from services.alerter.rules.files import RuleSource
from services.alerter.rules.rule import RulesError
from shared.runtime.settings import Settings

log = logging.getLogger(__name__)

Look = tuple[int, int, int] | str | None


class Changes:
    """Its methods read files: not for the loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rules = RuleSource(settings.alerter.rules)
        self._seen: Look = None
        self._routing_problems: tuple[str, ...] = ()

    @property
    def problems(self) -> list[str]:
        """Why what is in the files is not in force; empty when it is."""
        return [*self._rules.problems, *self._routing_problems]

    def first(self) -> tuple[Book, Plan]:
        """Raises ``RulesError`` and ``RoutingError``."""
        self._seen = _look(self._settings.alerter.routing)
        return self._rules.load(), load_plan(self._settings)

    def rules(self) -> Book | None:
        """Other rules than before, if there are any that can be used."""
        if not self._rules.changed():
            return None
        try:
            book = self._rules.load()
        except RulesError as error:
            _refused("rules", error)
            return None
        log.info("the rules were read again", extra={"rules": len(book.enabled)})
        return book

    def plan(self) -> Plan | None:
        """Another plan than before, if there is one that can be used."""
        path = self._settings.alerter.routing
        if (look := _look(path)) == self._seen:
            return None
        self._seen = look
        try:
            plan = load_plan(self._settings)
        except RoutingError as error:
            self._routing_problems = tuple(str(error).splitlines())
            _refused("routing", error)
            return None
        self._routing_problems = ()
        log.info("the routing was read again", extra={"routes": len(plan.routes)})
        return plan


def _refused(what: str, error: Exception) -> None:
    log.error(f"the changed {what} cannot be used; what was in force stays so", extra={"reason": str(error)})


def _look(path: Path | None) -> Look:
    """An editor that puts a new file in the old one's place changes the inode."""
    if path is None:
        return None
    try:
        stat = path.stat()
    except OSError as error:
        return type(error).__name__
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
