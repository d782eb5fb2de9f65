"""What a collector is: one section of the event, fetched apart from parsed."""

from __future__ import annotations

from typing import Any, Protocol


class Collector(Protocol):
    """Fills one section. Used by one thread at a time. May block: only its section waits."""

    section: str
    """The field of ``HostSample`` it fills."""

    def collect(self, now: float) -> Any:
        """The section as it goes on the wire, or ``None`` when this machine has nothing to report.

        ``now``: monotonic seconds. Raises whatever went wrong; it costs this section only.
        """
        ...


def text(raw: bytes | str, most: int = 256) -> str:
    """Kernel or foreign bytes as text that every decoder accepts, cut to what the schema allows."""
    if isinstance(raw, bytes):
        return raw.decode("utf-8", "replace")[:most]
    return raw.encode("utf-8", "replace").decode()[:most]
