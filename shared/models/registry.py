"""Models on disk: ``<kind>/<name>/<version>/`` with a card and an ``.npz``; ``<name>/current`` says which is in use.

A version is written whole or not at all, and never changed; its number is never given again, ``<name>/newest`` sees
to that. Whoever writes holds the kind's lock; whoever reads needs
none. ``<kind>/.changed`` is replaced after every change, so that readers need to look at one file only.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import msgspec

from shared.models import arrays as npz
from shared.models import card as cards
from shared.models.arrays import Arrays, ModelError
from shared.models.card import Card, Kind
from shared.runtime import whole_file

KEPT = 5
_CARD, _ARRAYS, _CURRENT, _NEWEST, CHANGED = "card.json", "model.npz", "current", "newest", ".changed"
_LONGEST_NAME = 240
_VERSION = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class Listed:
    """``card`` is ``None`` where ``trouble`` says why it cannot be read."""

    kind: Kind
    name: str
    version: int
    current: bool
    card: Card | None
    trouble: str = ""


def models_dir(data_dir: Path) -> Path:
    return data_dir.absolute() / "models"


def place(directory: Path, kind: Kind, name: str) -> Path:
    """Where the versions of a model are. Raises ``ModelError`` on a name that no directory can have."""
    # A host may be called anything, `..` and `a/b` included.
    safe = quote(name, safe="").replace(".", "%2E")
    if not safe or len(safe) > _LONGEST_NAME:
        raise ModelError(f"{name[:40]!r} cannot be the name of a model")
    return directory / kind / safe


def add(directory: Path, card: Card, arrays: Arrays, *, use: bool, keep: int = KEPT) -> Card:
    """Keeps it as the next version of ``card.kind`` and ``card.name``; the last ``keep`` stay, this one included, and
    whichever is in use. Returns the card as it was kept. Raises ``ModelError`` where it cannot be written.
    """
    home = place(directory, card.kind, card.name)
    with _changing(directory, card.kind):
        home.mkdir(parents=True, exist_ok=True)
        for left in home.glob(".new-*"):  # by a process that died
            shutil.rmtree(left)
        versions = _versions(home)
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=home))
        kept = write(new, card, max(_newest(home), *versions, 0) + 1, arrays)
        whole_file.replace(home / _NEWEST, f"{kept.version}\n".encode())
        new.chmod(0o755)
        new.rename(home / str(kept.version))
        whole_file.sync(home)
        if use:
            whole_file.replace(home / _CURRENT, f"{kept.version}\n".encode())
        with suppress(ModelError):  # who cannot say what is in use uses none of them
            versions = [v for v in versions if v != current(directory, card.kind, card.name)]
        for version in versions[: max(0, len(versions) + 1 - max(1, keep))]:
            shutil.rmtree(home / str(version))
    return kept


def write(home: Path, card: Card, version: int, arrays: Arrays) -> Card:
    """The two files of a version, in a directory of their own. Raises ``ModelError``, ``OSError``."""
    data = npz.packed(arrays)
    if len(data) > npz.MOST_BYTES:
        raise ModelError(f"the model is too large: {len(data)} bytes")
    kept = msgspec.structs.replace(card, version=version, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    home.mkdir(parents=True, exist_ok=True)
    whole_file.write(home / _ARRAYS, data)
    whole_file.write(home / _CARD, cards.written(kept))
    return kept


def load(directory: Path, kind: Kind, name: str, version: int) -> tuple[Card, Arrays]:
    """Raises ``ModelError`` naming the model and why it is refused."""
    home = place(directory, kind, name) / str(version)
    try:
        return read(home, kind, name, version)
    except ModelError as problem:
        raise ModelError(f"the model {kind} {name} {version} is refused: {problem}") from None


def read(home: Path, kind: Kind, name: str, version: int) -> tuple[Card, Arrays]:
    """The same, of any directory. Raises ``ModelError``."""
    card = cards.read(_bytes(home / _CARD, cards.MOST_BYTES))
    if (card.kind, card.name, card.version) != (kind, name, version):
        raise ModelError(f"its card is that of another model: {card.kind} {card.name} {card.version}")
    data = _bytes(home / _ARRAYS, npz.MOST_BYTES)
    if len(data) != card.size:
        raise ModelError(f"its file has {len(data)} bytes instead of {card.size}")
    if hashlib.sha256(data).hexdigest() != card.sha256:
        raise ModelError("its file is not the one its card was written for (SHA-256 differs)")
    return card, npz.unpacked(data)


def current(directory: Path, kind: Kind, name: str) -> int | None:
    """The version in use; ``None`` where none is. Raises ``ModelError`` where the file says something else."""
    file = place(directory, kind, name) / _CURRENT
    try:
        text = file.read_bytes()[:32].decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise ModelError(f"cannot read {file}: {problem.strerror}") from None
    if not _VERSION.fullmatch(text):
        raise ModelError(f"{file} names no version")
    return int(text)


def identity(directory: Path, kind: Kind, name: str) -> tuple[int, ...] | None:
    """The version in use first, and what tells it from another one that had the same number. Raises ``ModelError``."""
    version = current(directory, kind, name)
    if version is None:
        return None
    try:
        found = (place(directory, kind, name) / str(version) / _CARD).stat()
    except OSError:
        raise ModelError(f"the model {kind} {name} {version} is in use, and is not there") from None
    return version, found.st_ino, found.st_mtime_ns


def use(directory: Path, kind: Kind, name: str, version: int | None) -> None:
    """``None``: no version of it. Raises ``ModelError`` where it cannot be read."""
    if version is not None:
        load(directory, kind, name, version)
    home = place(directory, kind, name)
    if not _versions(home):
        raise ModelError(f"there is no model {kind} {name}")
    with _changing(directory, kind):
        if version is None:
            (home / _CURRENT).unlink(missing_ok=True)
        else:
            whole_file.replace(home / _CURRENT, f"{version}\n".encode())


def remove(directory: Path, kind: Kind, name: str, version: int) -> None:
    """Raises ``ModelError`` where it is in use, or is not there."""
    home = place(directory, kind, name)
    if not (home / str(version)).is_dir():
        raise ModelError(f"there is no model {kind} {name} {version}")
    if current(directory, kind, name) == version:
        raise ModelError(f"{kind} {name} {version} is in use; put another into use first, or none")
    with _changing(directory, kind):
        shutil.rmtree(home / str(version))


def names(directory: Path, kind: Kind) -> list[str]:
    """Raises ``ModelError`` where the directory is there and cannot be read."""
    try:
        return sorted(unquote(entry.name) for entry in (directory / kind).iterdir() if _versions(entry))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as problem:
        raise ModelError(f"cannot read {directory / kind}: {problem.strerror}") from None


def listed(directory: Path) -> Iterator[Listed]:
    """Every version of every model; what cannot be read says why."""
    for kind in cards.KINDS:
        for name in names(directory, kind):
            home = place(directory, kind, name)
            try:
                in_use, trouble = current(directory, kind, name), ""
            except ModelError as problem:
                in_use, trouble = None, str(problem)
            for version in _versions(home):
                try:
                    card, why = read(home / str(version), kind, name, version)[0], trouble
                except ModelError as problem:
                    card, why = None, str(problem)
                yield Listed(kind, name, version, version == in_use, card, why)


def _versions(home: Path) -> list[int]:
    try:
        return sorted(int(entry.name) for entry in home.iterdir() if _VERSION.fullmatch(entry.name) and entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _newest(home: Path) -> int:
    """The highest number that was ever given here; 0 where nobody knows."""
    try:
        text = (home / _NEWEST).read_bytes()[:32].decode("ascii", "replace").strip()
    except OSError:
        return 0
    return int(text) if _VERSION.fullmatch(text) else 0


def _bytes(file: Path, most: int) -> bytes:
    if file.exists() and not file.is_file():
        raise ModelError(f"{file.name} is no file")  # opening a pipe would wait for ever
    try:
        with file.open("rb") as handle:
            return handle.read(most + 1)
    except OSError as problem:
        raise ModelError(f"{file.name} cannot be read: {problem.strerror}") from None


@contextmanager
def _changing(directory: Path, kind: Kind) -> Iterator[None]:
    """One writer at a time; readers are told afterwards."""
    home = directory / kind
    try:
        home.mkdir(parents=True, exist_ok=True)
        with (home / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield
            finally:
                whole_file.replace(home / CHANGED, b"")
    except OSError as problem:
        raise ModelError(f"cannot write to {home}: {problem.strerror}") from None
