"""What a collector is: one section of the event, fetched apart from parsed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


class Collector(Protocol):
    """Fills one section. Used by one thread at a time. May block: only its section waits."""

    section: str
    """The field of ``HostSample`` it fills."""

    def collect(self, now: float) -> Any:
        """The section as it goes on the wire, or ``None`` when this machine has nothing to report.

        ``now``: monotonic seconds. Raises whatever went wrong; it costs this section only.
        """
        ...


@dataclass(frozen=True)
class Rest:
    """What a collector has left to do that may wait for something. ``finish`` gives the section."""

    finish: Callable[[], Any]


@runtime_checkable
class InTwoSteps(Protocol):
    """A collector of which only a part may wait, and not each time."""

    def begin(self, now: float) -> Any:
        """The section without waiting for anything, or a ``Rest``. ``collect`` is both steps."""
        ...


def finished(begun: Any) -> Any:
    return begun.finish() if isinstance(begun, Rest) else begun


def text(raw: bytes | str, most: int = 256) -> str:
    """Kernel or foreign bytes as text that every decoder accepts, cut to what the schema allows."""
    if isinstance(raw, bytes):
        return raw.decode("utf-8", "replace")[:most]
    return raw.encode("utf-8", "replace").decode()[:most]
