"""What ``lapwing train`` does and says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from services.history.span import Span
from services.train import wording
from services.train.labelled import Labelled, TrainError
from shared.models import registry
from shared.models.arrays import ModelError
from shared.models.card import Card, Kind
from shared.models.overload import METHODS
from shared.runtime.clock import Clock
from shared.runtime.data_dir import DataDir
from shared.runtime.settings import Settings

if TYPE_CHECKING:
    from services.detector.judge import Host
    from services.history.episodes import Episode
    from shared.store.port import Store


class Session:
    """Its methods raise ``TrainError``, ``ModelError``, ``SettingsError`` and, with history, ``StoreError``."""

    def __init__(self, settings: Settings, directory: Path, clock: Clock) -> None:
        self.now_ms = clock.now_ms()
        self._settings = settings
        self._directory = directory

    def claim(self) -> None:
        """The data directory is there, and for nobody else. Raises ``DataDirError``."""
        DataDir(self._settings.data_dir).claim(())

    def overload_from_csv(self, file: Path, values: Sequence[str], label: str | None, use: bool, keep: int) -> None:
        from services.train import csv_file

        self._overload(csv_file.read(file, values, label), use, keep)

    async def overload_from_history(self, span: Span, use: bool, keep: int) -> None:
        from services.train.from_history import labelled
        from shared.store.clickhouse import open_store

        store = await open_store(self._settings, "train")
        try:
            data = await labelled(store, span)
        finally:
            await store.close()
        self._overload(data, use, keep)

    def _overload(self, data: Labelled, use: bool, keep: int) -> None:
        from services.train import made
        from services.train.overload import fitted

        print(f"{len(data.rows)} rows of {', '.join(data.features)}, {int(data.overload.sum())} of them overload")
        # Both are fitted before either is kept, so that what is refused leaves nothing behind.
        done = [(method, fitted(method, data)) for method in METHODS]
        for method, fit in done:
            card = made.card(
                "overload",
                method,
                method,
                features=data.features,
                rows=fit.rows,
                span=data.span,
                parameters=fit.parameters,
                scores=fit.scores,
                about=data.about,
                now_ms=self.now_ms,
            )
            kept = registry.add(self._directory, card, fit.arrays, use=use, keep=keep)
            print("\n" + wording.kept(kept, use))

    async def frozen(self, span: Span, auto: bool, use: bool, keep: int) -> int:
        """1 where no host could be frozen; the reasons are printed."""
        from services.history.episodes import episodes
        from services.history.stored import hosts_meant
        from shared.store.clickhouse import open_store

        store = await open_store(self._settings, "train")
        done = 0
        try:
            watched = await hosts_meant(store, span.hosts)
            for host in watched:
                told = await episodes(store, [host.host_id], span.start_ms, span.end_ms)
                try:
                    kept = await self._freeze(store, host, told, span, auto, use, keep)
                except (TrainError, ModelError) as problem:
                    print(f"{host.name}: {problem}")
                    continue
                done += 1
                print("\n" + wording.kept(kept, use))
        finally:
            await store.close()
        if not done and not watched:
            raise TrainError("there is no host in the store")
        return 0 if done else 1

    async def _freeze(
        self, store: Store, host: Host, told: Sequence[Episode], span: Span, auto: bool, use: bool, keep: int
    ) -> Card:
        from services.history.stored import readings
        from services.train import frozen, made
        from services.train.quiet import quiet
        from services.train.stretch import METRICS, collected, complete

        pieces = readings(store, host.host_id, span.start_ms, span.end_ms, METRICS)
        stretch = await collected(pieces, span.start_ms, span.end_ms)
        start, end, left_out = span.start_ms, span.end_ms, 0
        if auto:
            found = quiet(stretch, told)
            if found is None:
                raise TrainError("no part of that time was quiet")
            start, end, left_out = max(start, found.start_ms), min(end, found.end_ms), found.left_out
            stretch = stretch.where(found.rows)
        within = [e for e in told if e.started_ms < end and (e.ended_ms is None or e.ended_ms >= start)]
        print(wording.stretch(host.name, start, end, auto, left_out, len(within)))
        stretch = complete(stretch)
        card = made.card(
            "frozen",
            host.host_id,
            "frozen",
            features=stretch.features,
            rows=len(stretch.rows),
            span=(start, end),
            parameters=frozen.PARAMETERS,
            scores={},
            about={"host": host.name, "quiet": "auto" if auto else "as told"},
            now_ms=self.now_ms,
        )
        result = frozen.made(stretch, card)
        return registry.add(
            self._directory, wording.scored(card, result.scores, result.rows), result.arrays, use=use, keep=keep
        )

    def list(self, kind: Kind | None) -> int:
        models = [m for m in registry.listed(self._directory) if kind in (None, m.kind)]
        print(wording.table(models) if models else "there are no models yet; see `lapwing train overload --help`")
        return 0

    def show(self, kind: Kind, name: str, version: int | None) -> int:
        name = self._called(kind, name)
        if version is None:
            version = registry.current(self._directory, kind, name)
            if version is None:
                raise ModelError(f"no version of {kind} {name} is in use; say which with a number")
        card, _ = registry.load(self._directory, kind, name, version)
        print(wording.card(card))
        return 0

    def use(self, kind: Kind, name: str, version: int | None) -> int:
        name = self._called(kind, name)
        registry.use(self._directory, kind, name, version)
        print(f"{kind} {name}: {'no version' if version is None else f'version {version}'} is in use")
        return 0

    def remove(self, kind: Kind, name: str, version: int) -> int:
        name = self._called(kind, name)
        registry.remove(self._directory, kind, name, version)
        print(f"{kind} {name} {version} is removed")
        return 0

    def _called(self, kind: Kind, wanted: str) -> str:
        """A host may be meant by its name, where one only has it."""
        known = registry.names(self._directory, kind)
        if wanted in known:
            return wanted
        cards = (m.card for m in registry.listed(self._directory) if m.kind == kind and m.card)
        found = sorted({card.name for card in cards if card.about.get("host") == wanted})
        if len(found) == 1:
            return found[0]
        if found:
            raise ModelError(f"several hosts were called {wanted!r}; use an id of {', '.join(found)}")
        raise ModelError(f"there is no model {kind} {wanted!r}; there are {', '.join(known) or 'none'}")
