"""Who is well: each part reports whether it makes progress and whether what it needs is there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

Check = Callable[[], str | None]
"""``None`` when well, else one sentence without secrets."""


@dataclass
class Health:
    """Filled by the services; read by ``/healthz`` (progress) and ``/readyz``: without ``dependencies`` nobody can be
    answered, what ``warnings`` say somebody ought to see to while this process goes on.
    """

    progress: dict[str, Check] = field(default_factory=dict)
    dependencies: dict[str, Check] = field(default_factory=dict)
    warnings: dict[str, Check] = field(default_factory=dict)

    @staticmethod
    def failures(checks: dict[str, Check]) -> dict[str, str]:
        """Name and reason of what is not well; a check that fails itself is not well either."""
        return {name: reason for name, check in checks.items() if (reason := _ask(check)) is not None}


def _ask(check: Check) -> str | None:
    try:
        return check()
    except Exception as error:
        log.exception("a health check failed")
        return f"cannot be checked: {type(error).__name__}"
