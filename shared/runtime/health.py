"""Who is well: each part reports whether it makes progress and whether what it needs is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

Check = Callable[[], str | None]
"""``None`` when well, else one sentence without secrets."""


@dataclass
class Health:
    """Filled by ``compose``; read by ``/healthz`` (progress) and ``/readyz`` (dependencies)."""

    progress: dict[str, Check] = field(default_factory=dict)
    dependencies: dict[str, Check] = field(default_factory=dict)

    @staticmethod
    def failures(checks: dict[str, Check]) -> dict[str, str]:
        return {name: reason for name, check in checks.items() if (reason := check()) is not None}
