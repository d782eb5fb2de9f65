"""A model in use: read when it is first wanted, and again when another version was put into use."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from shared.models import registry
from shared.models.arrays import Arrays, ModelError
from shared.models.card import Card, Kind

log = logging.getLogger(__name__)

T = TypeVar("T")


class Holder(Generic[T]):
    """``value`` is ``None`` where no version is in use, or the one that is was refused: then ``refused`` says why, and
    so did the log, once.
    """

    def __init__(self, directory: Path, kind: Kind, name: str, build: Callable[[Card, Arrays], T]) -> None:
        self.value: T | None = None
        self.version: int | None = None
        self.refused = ""
        self._directory = directory
        self._kind: Kind = kind
        self._name = name
        self._build = build
        self._identity: tuple[int, ...] | None = None

    def refresh(self) -> None:
        """Looks whether another version is in use. Cheap while there is none; what was refused is tried again."""
        try:
            identity = registry.identity(self._directory, self._kind, self._name)
            if identity == self._identity and not self.refused:
                return
            self.value, self.version, self._identity = None, None, identity
            if identity is not None:
                version = identity[0]
                card, arrays = registry.load(self._directory, self._kind, self._name, version)
                self.value, self.version = self._built(card, arrays), version
                log.info("a model is in use", extra=self._named(version))
            self.refused = ""
        except ModelError as problem:
            self.value, self.version, self._identity = None, None, None
            if str(problem) != self.refused:
                log.warning("a model is not used", extra={"reason": str(problem)})
            self.refused = str(problem)

    def _built(self, card: Card, arrays: Arrays) -> T:
        try:
            return self._build(card, arrays)
        except ModelError as problem:
            raise ModelError(f"the model {self._kind} {self._name} {card.version} is refused: {problem}") from None

    def _named(self, version: int) -> dict[str, object]:
        return {"model": f"{self._kind} {self._name}", "version": version}
