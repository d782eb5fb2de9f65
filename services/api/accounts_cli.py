"""``lapwing user`` and ``lapwing token``: the same routes an admin has over HTTP, from the machine itself.

Where the product runs, its admin socket is asked (the embedded store opens for one process only); where it does not,
the same application is asked inside this process, with the store opened for it. Owning the data directory is the
authentication. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from shared.runtime.arguments import command, group
from shared.runtime.settings import Settings

if TYPE_CHECKING:
    from services.api.admin_client import AdminClient

BAD_INPUT = 2
FAILED = 1
ROLES = ("viewer", "operator", "admin")
SCOPES = ("read", "act", "admin", "ingest")
Work = Callable[["AdminClient", argparse.Namespace], Awaitable[int]]


class BadInput(ValueError):
    """The message is one complete line."""


def register(commands: Any) -> None:
    """Adds ``user`` and ``token`` to the command line's sub-commands."""
    user = group(commands, "user", "who may log in", "lapwing user add alice --role operator")
    add = _command(
        user, "add", "add a user; asks for the password", "lapwing user add alice --role operator", _user_add
    )
    add.add_argument("name", help="user name")
    add.add_argument("--role", choices=ROLES, default="viewer", help="what they may do (default: viewer)")
    _password_option(add)
    passwd = _command(
        user, "passwd", "set a password; ends the user's logins", "lapwing user passwd alice", _user_passwd
    )
    passwd.add_argument("name", help="user name")
    _password_option(passwd)
    _command(user, "list", "list the users", "lapwing user list", _user_list)
    disable = _command(
        user, "disable", "keep a user out; ends their logins", "lapwing user disable alice", _user_disable
    )
    disable.add_argument("name", help="user name")
    disable.add_argument("--undo", action="store_true", help="let them in again")

    token = group(commands, "token", "API tokens for programs", "lapwing token create grafana --scope read")
    create = _command(
        token,
        "create",
        "create an API token and print it, this once",
        "lapwing token create grafana --scope read --days 90",
        _token_create,
    )
    create.add_argument("name", help="what it is for")
    create.add_argument("--scope", action="append", choices=SCOPES, help="what it may do; repeatable (default: read)")
    create.add_argument("--host", metavar="ID", help="with --scope ingest: for events of this host id only")
    create.add_argument("--days", type=float, default=365, help="days until it expires (default: 365; 0 for never)")
    _command(token, "list", "list the API tokens", "lapwing token list", _token_list)
    revoke = _command(token, "revoke", "make an API token void", "lapwing token revoke 0f1e2d3c4b5a6978", _token_revoke)
    revoke.add_argument("id", help="the token's id, see `lapwing token list`")


def _command(commands: Any, name: str, text: str, example: str, work: Work) -> argparse.ArgumentParser:
    return command(commands, name, text, example, lambda settings, arguments: run(settings, arguments, work))


def _password_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input instead of asking for it"
    )


def run(settings: Settings, arguments: argparse.Namespace, work: Work) -> int:
    """Exit status: 0 done, 1 the store or the product could not be reached, 2 bad input; each with one clear line."""
    from services.api.admin_client import AdminRefused, Unreachable, admin_client

    async def carried_out() -> int:
        async with admin_client(settings) as client:
            return await work(client, arguments)

    try:
        return asyncio.run(carried_out())
    except BadInput as error:
        return _complain(str(error), BAD_INPUT)
    except AdminRefused as error:
        return _complain(str(error), BAD_INPUT if error.status < 500 else FAILED)
    except Unreachable as error:
        return _complain(str(error), FAILED)


async def _user_add(client: AdminClient, arguments: argparse.Namespace) -> int:
    password = _password(arguments)
    body = {"username": arguments.name, "password": password, "role": arguments.role}
    user = await client.call("POST", "/api/auth/users/", body)
    print(f"added {user['username']} ({user['role']})")
    return 0


async def _user_passwd(client: AdminClient, arguments: argparse.Namespace) -> int:
    await client.call("PATCH", _user(arguments.name), {"password": _password(arguments)})
    print(f"the password of {arguments.name} was changed; their logins have ended")
    return 0


async def _user_list(client: AdminClient, _: argparse.Namespace) -> int:
    rows = await client.call("GET", "/api/auth/users/")
    table(
        ("USER", "ROLE", "STATE", "SINCE"),
        [(r["username"], r["role"], "disabled" if r["disabled"] else "enabled", r["created_at"]) for r in rows],
    )
    return 0


async def _user_disable(client: AdminClient, arguments: argparse.Namespace) -> int:
    await client.call("PATCH", _user(arguments.name), {"disabled": not arguments.undo})
    print(f"{arguments.name} is {'enabled' if arguments.undo else 'disabled; their logins have ended'}")
    return 0


async def _token_create(client: AdminClient, arguments: argparse.Namespace) -> int:
    body: dict[str, Any] = {"name": arguments.name, "scopes": arguments.scope or ["read"]}
    body["expires_in_days"] = arguments.days or None
    if arguments.host is not None:
        body["host"] = arguments.host
    token = await client.call("POST", "/api/auth/tokens/", body)
    print(token["token"])
    print(f"(id {token['id']}, expires {token['expires_at'] or 'never'}; it is not shown again)", file=sys.stderr)
    return 0


async def _token_list(client: AdminClient, _: argparse.Namespace) -> int:
    rows = await client.call("GET", "/api/auth/tokens/")
    table(
        ("ID", "NAME", "SCOPES", "HOST", "STATE", "EXPIRES"),
        [
            (r["id"], r["name"], ",".join(r["scopes"]), r["host"] or "-", r["status"], r["expires_at"] or "never")
            for r in rows
        ],
    )
    return 0


async def _token_revoke(client: AdminClient, arguments: argparse.Namespace) -> int:
    await client.call("DELETE", f"/api/auth/tokens/{_segment(arguments.id, 'token id')}/")
    print(f"{arguments.id} is revoked")
    return 0


def _user(name: str) -> str:
    return f"/api/auth/users/{_segment(name, 'user name')}/"


def _segment(text: str, what: str) -> str:
    if not text or not all(c.isascii() and (c.isalnum() or c in "._@-") for c in text) or text.strip(".") == "":
        raise BadInput(f"{text!r} cannot be a {what}")
    return text


def _password(arguments: argparse.Namespace) -> str:
    """From standard input or the terminal, never from the command line, where everybody could read it."""
    if arguments.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise BadInput("there is no terminal to ask for the password; use --password-stdin")
    import getpass

    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise BadInput("the two passwords differ")
    return password


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(str(r[i])) for r in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows):
        print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _complain(message: str, status: int) -> int:
    print(f"lapwing: {message}", file=sys.stderr)
    return status
