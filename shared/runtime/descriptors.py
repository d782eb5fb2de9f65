"""How many files and connections this process may have open."""

from __future__ import annotations

ENOUGH = 16_384


def allow_enough() -> int:
    """Raises the soft limit towards ``ENOUGH``, as far as the hard one lets us; returns what it is now.

    The usual soft limit of 1024 is there for programs that use ``select``; a store, a broker and some hundred
    listeners in one process need more.
    """
    try:
        import resource
    except ImportError:  # no such limits here
        return ENOUGH
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = ENOUGH if hard == unlimited else min(ENOUGH, hard)
    if soft != unlimited and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft
