"""Receivers: those the alerter was set up with, and those that were entered here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from services.api import messages
from services.api.decisions import Decisions
from services.api.errors import not_found
from services.api.matchers import in_force
from services.api.told import Told
from shared.runtime import times

PREFIX = "receiver:"
ENTERED = "api"
MOST = 200
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.\-]*://[^\s,]*")


async def listed(told: Told, decisions: Decisions) -> list[dict[str, Any]]:
    """By name. Raises ``ApiError`` 503."""
    entered = {kept["id"]: shape(kept) for kept in await decisions.all_of(PREFIX)}
    found = {one["name"]: one for one in _set_up(told) if one["source"] != ENTERED}
    return [one for _, one in sorted((entered | found).items())]


async def find(told: Told, decisions: Decisions, name: str) -> dict[str, Any]:
    """Raises ``ApiError`` 404, 503."""
    for one in await listed(told, decisions):
        if one["name"] == name:
            return one
    raise not_found(messages.UNKNOWN_RECEIVER.of(name=name[:80]))


def from_files(told: Told) -> set[str]:
    """Names of those that were not entered here."""
    return {one["name"] for one in _set_up(told) if one["source"] != ENTERED}


def _set_up(told: Told) -> list[dict[str, Any]]:
    if told.setup is None:
        return []
    return [
        {
            "name": one.name,
            "channels": list(one.channels),
            "target": masked(one.target),
            "source": one.source,
            "matchers": [],
            "signed": False,
            "headers": [],
            "author": "",
            "updated_at": None,
        }
        for one in told.setup.receivers
    ]


def shape(kept: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": kept["id"],
        "channels": [kept["channel"]],
        # Of several addresses each is masked; where there is one, a comma is a part of it.
        "target": masked(kept["target"]) if kept["channel"] == "email" else _masked(kept["target"]),
        "source": ENTERED,
        "matchers": [m.model_dump() for m in in_force(kept.get("matchers", ()))],
        "signed": bool(kept.get("secret")),
        "headers": sorted(kept.get("headers", ())),
        "author": kept.get("author", ""),
        "updated_at": times.iso(kept["ts"]),
    }


def masked(target: str) -> str:
    """Without what lets others post there: of a web address its host is shown, of other URLs their scheme only."""
    return _URL.sub(lambda found: _masked(found[0]), target)


def _masked(url: str) -> str:
    scheme, _, _ = url.partition("://")
    if scheme.lower() not in ("http", "https"):
        return f"{scheme}://***"
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return f"{scheme}://***"
    host = parts.hostname or ""
    rest = "/***" if parts.path.strip("/") or parts.query or parts.fragment else ""
    return f"{scheme}://{f'[{host}]' if ':' in host else host}{port}{rest}"
