"""Where rules come from: the shipped file, and what ``LAPWING_ALERTER__RULES`` names beside it."""

from __future__ import annotations

from pathlib import Path

from services.alerter.rules.book import Book, bind
from services.alerter.rules.rule import Rule, RulesError
from services.alerter.yaml_file import MAX_FILE_BYTES

SHIPPED = Path(__file__).with_name("shipped.yaml")

Look = tuple[object, ...]


class RuleSource:
    """The rules as they are on disk now, and whether they have changed since. Reads files: not for the loop."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: Look = ()
        self.problems: tuple[str, ...] = ()
        """Why the rules that were loaded last were refused; empty when all is well."""

    def load(self) -> Book:
        """Raises ``RulesError``; then what was in force before should stay so."""
        self._seen = self._look()  # before reading: what is written meanwhile is a change
        try:
            book = load_book(self._path)
        except RulesError as error:
            self.problems = tuple(str(error).splitlines())
            raise
        self.problems = ()
        return book

    def changed(self) -> bool:
        """Whether there is something else than what was loaded, or refused, last."""
        return self._look() != self._seen

    def _look(self) -> Look:
        """Names, sizes and times; an editor that puts a new file in the old one's place changes the inode."""
        if self._path is None:
            return ()
        try:
            files = _files(self._path)
            seen = [(str(f), s.st_mtime_ns, s.st_ctime_ns, s.st_size, s.st_ino) for f in files for s in [f.stat()]]
        except (OSError, RulesError) as error:
            return (type(error).__name__, str(error))
        return tuple(seen)


def load_book(path: Path | None) -> Book:
    """Our rules with those of a file, or of every ``*.yaml`` and ``*.yml`` of a directory. Raises ``RulesError``."""
    try:
        files = {str(file): _text(file) for file in _files(path)} if path else {}
        return bind(files, SHIPPED.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RulesError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def load_rules(path: Path | None) -> tuple[Rule, ...]:
    """Those that are switched on. Raises ``RulesError``."""
    return load_book(path).enabled


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    # What begins with a dot is an editor's, or the machinery of a mounted configuration.
    found = sorted(p for p in path.iterdir() if p.suffix in (".yaml", ".yml") and not p.name.startswith("."))
    if not found:
        raise RulesError(f"{path}: no *.yaml file in it")
    return found


def _text(file: Path) -> str:
    if file.exists() and not file.is_file():
        raise RulesError(f"{file}: cannot be read: not a file")
    with file.open("rb") as opened:
        return opened.read(MAX_FILE_BYTES + 1).decode("utf-8")
