"""How many files and connections this process may have open."""

from __future__ import annotations

try:
    import resource
except ImportError:  # no such limits on this system
    resource = None  # type: ignore[assignment]

ENOUGH = 16_384


def descriptors_allowed() -> int:
    """The soft limit in force; ``ENOUGH`` where there is none."""
    if resource is None:
        return ENOUGH
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return ENOUGH if soft == resource.RLIM_INFINITY else soft


def allow_enough() -> None:
    """Raises the soft limit towards ``ENOUGH``, as far as the hard one lets us.

    The usual soft limit of 1024 is there for programs that use ``select``; a store, a broker and some hundred
    listeners in one process need more.
    """
    if resource is None:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(ENOUGH, hard)
    if descriptors_allowed() < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
