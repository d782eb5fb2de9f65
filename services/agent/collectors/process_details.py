"""What is told of a process besides numbers: its full name, its command line without secrets, its user."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from services.agent.collectors.base import text
from services.agent.collectors.process_scan import Seen
from services.agent.paths import HostPaths
from services.agent.redact import Redactor

MOST_READ = 32_768  # bytes of a command line looked at
MOST_TOLD = 4096  # characters of it told
SHORT_NAME = 15  # the kernel cuts names here
FRESH_FOR = 60.0  # seconds: a process may rename itself
TOGETHER = 10.0  # seconds: what is due within them is read along with what is due
YOUNG_FOR = 5.0  # seconds: a process just forked still shows its parent's command line


@dataclass(frozen=True)
class Details:
    """``short`` is the kernel's name at the time: another one means that the process runs another program now."""

    name: str
    cmdline: list[str]
    username: str
    short: bytes = b""
    raw: bytes = field(default=b"", compare=False, repr=False)
    """The command line as it was read; not for anybody else, there may be secrets in it."""


def parse_cmdline(data: bytes) -> list[str]:
    """Arguments are ended by NUL; a process that wrote itself a title has blanks instead."""
    if not data:
        return []
    separator = b"\0" if data.endswith(b"\0") or b"\0" in data else b" "
    parts = data.rstrip(b"\0").split(separator)
    if separator == b"\0" and len(parts) == 1 and b" " in parts[0]:
        parts = parts[0].split(b" ")
    return [part.decode("utf-8", "replace") for part in parts]


def shorten(arguments: list[str], most: int = MOST_TOLD) -> list[str]:
    """At most so many characters in all; the last one that fits is cut and marked."""
    kept: list[str] = []
    left = most
    for argument in arguments:
        if left <= 0 or len(argument) > left:
            if left > 0:
                kept.append(argument[: left - 1] + "…")
            break
        kept.append(argument)
        left -= max(1, len(argument))
    return kept


def full_name(short: str, arguments: list[str]) -> str:
    """The kernel's 15 characters, completed from the command line where that continues them, as psutil does."""
    if len(short) >= SHORT_NAME and arguments:
        longer = arguments[0].rsplit("/", 1)[-1]
        if longer.startswith(short):
            return text(longer)
    return short


def parse_uid(status: bytes) -> int | None:
    """The real user id, of ``/proc/PID/status``."""
    start = status.find(b"\nUid:")
    return None if start < 0 else int(status[start + 5 : start + 40].split(None, 1)[0])


def parse_passwd(content: str) -> dict[int, str]:
    names: dict[int, str] = {}
    for line in content.splitlines():
        fields = line.split(":")
        if len(fields) >= 3 and fields[2].isdigit():
            names.setdefault(int(fields[2]), fields[0])
    return names


class LinuxDetails:
    def __init__(self, paths: HostPaths, redactor: Redactor) -> None:
        self._paths = paths
        self._redactor = redactor
        self._users: dict[int, str] = {}
        self._users_of: object = None

    def fresh(self, process: Seen, now: float) -> Details | None:
        """What is known and still holds.

        Threads of the kernel have no command line and one user; they rename themselves with every piece of work.
        """
        known = process.details
        if not isinstance(known, Details):
            return None
        if process.kernel:
            if process.name != known.short:
                known = process.details = Details(text(process.name), [], known.username, process.name)
            return known
        return known if now < process.details_until and process.name == known.short else None

    def of(self, process: Seen, now: float, age: float) -> Details:
        """Read once a minute; sooner of a young process, and of one that runs another program. ``age`` in seconds."""
        known = self.fresh(process, now + min(TOGETHER, age / 2))
        if known is not None:
            return known
        raw = self._read(process.pid, "cmdline")
        user = self._user(parse_uid(self._read(process.pid, "status")))
        details = process.details
        if not isinstance(details, Details) or (details.raw, details.short, details.username) != (
            raw,
            process.name,
            user,
        ):
            details = self._told(process.name, raw, user)
        process.details = details
        process.details_until = now + (FRESH_FOR if age > YOUNG_FOR else YOUNG_FOR)
        return details

    def _told(self, short: bytes, raw: bytes, user: str) -> Details:
        arguments = self._redactor.arguments(parse_cmdline(raw))
        return Details(full_name(text(short), arguments), shorten(arguments), user, short, raw)

    def _read(self, pid: int, file: str) -> bytes:
        with suppress(OSError), open(f"{self._paths.proc}/{pid}/{file}", "rb", buffering=0) as handle:  # noqa: PTH123
            return handle.read(MOST_READ) or b""
        return b""

    def _user(self, uid: int | None) -> str:
        if uid is None:
            return ""
        path = self._paths.under_root("/etc/passwd")
        with suppress(OSError):
            stamp = os.stat(path).st_mtime_ns  # noqa: PTH116
            if stamp != self._users_of:
                with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
                    self._users = parse_passwd(file.read())
                self._users_of = stamp
        if uid not in self._users:
            self._users[uid] = self._elsewhere(uid)
        return text(self._users[uid])

    def _elsewhere(self, uid: int) -> str:
        """Users of a directory service are known to this machine only, not to a container on it."""
        if not self._paths.contained:
            import pwd

            with suppress(KeyError):
                return pwd.getpwuid(uid).pw_name
        return str(uid)


class PortableDetails:
    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def fresh(self, process: Seen, now: float) -> Details | None:
        return None

    def of(self, process: Seen, now: float, age: float) -> Details:
        arguments: list[str] = []
        username = ""
        with suppress(psutil.Error, OSError):
            handle = psutil.Process(process.pid)
            arguments = handle.cmdline()
            username = handle.username()
        return Details(text(process.name), shorten(self._redactor.arguments(arguments)), text(username))
