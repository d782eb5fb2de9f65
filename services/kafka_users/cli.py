"""``lapwing agents`` and ``lapwing services``: users of a real Kafka, each with its own password and few rights."""

from __future__ import annotations

import argparse
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.runtime.arguments import command, group
from shared.runtime.secret_file import write_secret
from shared.runtime.settings import Settings, SettingsError

if TYPE_CHECKING:
    from shared.bus.access import Access

PREFIX = "lapwing-"
AGENT_PREFIX = "lapwing-agent-"
SERVICES = ("ingest", "detector", "alerter", "api", "topics")
FAILED = 1
PASSWORD_BYTES = 24
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
Work = Callable[["Access", Settings, argparse.Namespace], int]


def register(commands: Any) -> None:
    """Adds ``agents`` and ``services`` to the command line's sub-commands."""
    agents = group(commands, "agents", "Kafka users of agents, one a host", "lapwing agents enrol web-1")
    enrol = _command(
        agents,
        "enrol",
        "make a Kafka user that may write what an agent writes, and nothing else",
        "lapwing agents enrol web-1 --password-file web-1.password",
        _enrol_agents,
    )
    enrol.add_argument("names", nargs="+", metavar="HOST", type=_host, help="the host's name; several are possible")
    _enrolling(enrol)
    _command(agents, "list", "list them with what they may do", "lapwing agents list", _list_agents)
    revoke = _command(agents, "revoke", "shut agents out, at once", "lapwing agents revoke web-1", _revoke_agents)
    revoke.add_argument("names", nargs="+", metavar="HOST", type=_host, help="the host's name; several are possible")

    services = group(commands, "services", "Kafka users of the services", "lapwing services enrol ingest")
    names = ", ".join(SERVICES)
    enrol = _command(
        services,
        "enrol",
        "make a Kafka user that may do what a service does, and nothing else",
        "lapwing services enrol ingest --password-file ingest.password",
        _enrol_services,
    )
    enrol.add_argument("names", nargs="+", metavar="SERVICE", choices=SERVICES, help=f"of {names}")
    _enrolling(enrol)
    _command(services, "list", "list them with what they may do", "lapwing services list", _list_services)
    revoke = _command(services, "revoke", "shut services out, at once", "lapwing services revoke ingest", _revoke)
    revoke.add_argument("names", nargs="+", metavar="SERVICE", choices=SERVICES, help=f"of {names}")


def _enrolling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--password-file", metavar="FILE", type=Path, help="write the password there, for nobody else to read; one name"
    )
    parser.add_argument("--rotate", action="store_true", help="give one that is there a new password")


def _command(commands: Any, name: str, text: str, example: str, work: Work) -> argparse.ArgumentParser:
    def run(settings: Settings, arguments: argparse.Namespace) -> int:
        if "://" in settings.kafka.bootstrap_servers:
            raise SettingsError(
                f"LAPWING_KAFKA__BOOTSTRAP_SERVERS: `{settings.kafka.bootstrap_servers}` is reached from this machine "
                "only and has no users; name a broker as `host:port`"
            )
        from shared.bus.access import Access

        return work(Access(settings.kafka), settings, arguments)

    return command(commands, name, text, example, run)


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no host name; letters, digits, `.`, `_` and `-`, at most 128")
    return text


def _enrol_agents(access: Access, settings: Settings, arguments: argparse.Namespace) -> int:
    return _enrol(access, settings, arguments, {AGENT_PREFIX + name: "agent" for name in arguments.names})


def _enrol_services(access: Access, settings: Settings, arguments: argparse.Namespace) -> int:
    return _enrol(access, settings, arguments, {PREFIX + name: name for name in arguments.names})


def _enrol(access: Access, settings: Settings, arguments: argparse.Namespace, roles: Mapping[str, str]) -> int:
    """``roles``: what each user is to be."""
    from services.kafka_users.rights import rights_of

    if arguments.password_file and len(roles) > 1:
        raise SettingsError("--password-file holds one password: enrol one name at a time")
    for user, role in roles.items():
        if access.has_password(user) and not arguments.rotate:
            print(f"lapwing: {user} is there already; --rotate gives it a new password", file=sys.stderr)
            return FAILED
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        if arguments.password_file:
            with _kept(arguments.password_file, password):
                access.add(user, password, rights_of(role))
        else:
            access.add(user, password, rights_of(role))
        print(_instructions(settings, access.mechanism, user, arguments.password_file or password))
    return 0


@contextmanager
def _kept(file: Path, password: str) -> Iterator[None]:
    """In ``file`` when what is done meanwhile has worked; it is beside it before, since a password that only the broker
    knows helps nobody. Raises ``SettingsError``.
    """
    beside = file.with_name(file.name + ".new")
    try:
        write_secret(beside, password)
        try:
            yield
        except BaseException:
            beside.unlink()
            raise
        beside.replace(file)
    except OSError as error:
        raise SettingsError(f"--password-file: cannot write {str(file)!r}: {error.strerror}") from None


def _instructions(settings: Settings, mechanism: str, user: str, password: Path | str) -> str:
    kafka = settings.kafka
    protocol = kafka.security_protocol if kafka.security_protocol.startswith("SASL") else "SASL_SSL"
    told = {
        "BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "SECURITY_PROTOCOL": protocol,
        "SASL_MECHANISM": mechanism,
        "USERNAME": user,
    }
    if isinstance(password, Path):
        told["PASSWORD_FILE"] = str(password)
    else:
        told["PASSWORD"] = password
    if kafka.ssl_cafile and protocol.endswith("SSL"):
        told["SSL_CAFILE"] = str(kafka.ssl_cafile)
    lines = [f"# {user}, whose password is shown this once" if isinstance(password, str) else f"# {user}"]
    return "\n".join([*lines, *(f"LAPWING_KAFKA__{name}={value}" for name, value in told.items())])


def _list_agents(access: Access, settings: Settings, arguments: argparse.Namespace) -> int:
    return _list(access, lambda user: user.startswith(AGENT_PREFIX), AGENT_PREFIX)


def _list_services(access: Access, settings: Settings, arguments: argparse.Namespace) -> int:
    return _list(access, lambda user: user.removeprefix(PREFIX) in SERVICES, PREFIX)


def _list(access: Access, ours: Callable[[str], bool], prefix: str) -> int:
    found = {user: rights for user, rights in access.rights(PREFIX).items() if ours(user)}
    if not found:
        print("nobody is enrolled")
    for user, rights in found.items():
        print(user.removeprefix(prefix) + ("" if access.has_password(user) else "  (has no password: enrol it again)"))
        for right in rights:
            print(f"  {right}")
    return 0


def _revoke_agents(access: Access, _: Settings, arguments: argparse.Namespace) -> int:
    return _shut_out(access, [AGENT_PREFIX + name for name in arguments.names])


def _revoke(access: Access, _: Settings, arguments: argparse.Namespace) -> int:
    return _shut_out(access, [PREFIX + name for name in arguments.names])


def _shut_out(access: Access, users: list[str]) -> int:
    status = 0
    for user in users:
        if access.remove(user):
            print(f"{user} is shut out")
        else:
            print(f"lapwing: there is no {user}", file=sys.stderr)
            status = FAILED
    return status
