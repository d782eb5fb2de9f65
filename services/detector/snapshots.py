"""The open episodes on disk, so that a detector that was killed closes what it had opened."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from services.detector.judge import Episode, Host
from shared.schemas.anomaly import Contribution

VERSION = 1


class EpisodeFile:
    """Small (one entry an open episode), rewritten when one opens or closes. Calls block for a disk write."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> list[Episode]:
        """What was saved last; nothing where there is no file. Raises ``ValueError`` on one that cannot be read."""
        try:
            content = json.loads(self._path.read_text())
        except FileNotFoundError:
            return []
        if not isinstance(content, dict) or content.get("version") != VERSION:
            raise ValueError(f"{self._path} is not a list of episodes of version {VERSION}")
        try:
            return [_episode(entry) for entry in content["episodes"]]
        except (KeyError, TypeError) as error:
            raise ValueError(f"{self._path} holds an episode that cannot be read: {error!r}") from None

    def save(self, episodes: Iterable[Episode]) -> None:
        """Whole or not at all. Raises ``OSError``."""
        content = {"version": VERSION, "episodes": [_entry(e) for e in episodes]}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".new")
        with beside.open("w") as out:
            json.dump(content, out)
            out.flush()
            os.fsync(out.fileno())
        beside.replace(self._path)


def _entry(episode: Episode) -> dict[str, Any]:
    return asdict(episode) | {"contributions": [c.model_dump() for c in episode.contributions]}


def _episode(entry: dict[str, Any]) -> Episode:
    known = {
        **entry,
        "host": Host(**entry["host"]),
        "contributions": tuple(Contribution.model_validate(c) for c in entry["contributions"]),
    }
    return Episode(**known)
