"""``lapwing dlq``: lines that could not be stored, looked at and settled; by the way ``lapwing user`` goes."""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from services.api.accounts_cli import BadInput, Work, run, table
from shared.runtime.arguments import command, group
from shared.schemas.topics import EVENT_TOPICS

if TYPE_CHECKING:
    from services.api.admin_client import AdminClient

TOPICS = {topic.name.split(".")[1]: topic.name for topic in EVENT_TOPICS}
STAGES = ("decode", "time", "store")
STATES = ("open", "retried", "dropped")
PATH = "/api/system/dead_letters/"
FILTERS = ("topic", "host", "stage", "reason", "since")
_AGE = re.compile(r"\d+[smhd]")


def register(commands: Any) -> None:
    """Adds ``dlq`` to the command line's sub-commands."""
    dlq = group(commands, "dlq", "dead letters: lines that could not be stored", "lapwing dlq list --stage time")
    shown = _command(
        dlq, "list", "list them, newest first, and count them by reason", "lapwing dlq list --topic metrics --since 1d",
        _list,
    )  # fmt: skip
    _filters(shown)
    shown.add_argument("--state", action="append", choices=STATES, help="repeatable (default: open)")
    shown.add_argument("--limit", type=int, default=20, help="at most so many (default: 20)")
    shown.add_argument("--json", action="store_true", help="as JSON")
    one = _command(dlq, "show", "show one with its line", "lapwing dlq show lapwing.metrics.v1:0:4711", _show)
    one.add_argument("id", metavar="ID", help="its id, or topic:partition:offset of the message it came from")
    one.add_argument("--json", action="store_true", help="as JSON, the line also in base64")
    retry = _command(
        dlq, "retry", "send open ones to their topics once more", "lapwing dlq retry --stage time --since 1d", _retry
    )
    _settling(retry)
    drop = _command(dlq, "drop", "be done with open ones", "lapwing dlq drop --host web-9 --yes", _drop)
    _settling(drop)
    drop.add_argument("--yes", action="store_true", help="do it; without it the command only says what it would do")


def _command(commands: Any, name: str, text: str, example: str, work: Work) -> argparse.ArgumentParser:
    return command(commands, name, text, example, lambda settings, arguments: run(settings, arguments, work))


def _settling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID", help="ids, or topic:partition:offset; or use a filter")
    _filters(parser)
    parser.add_argument("--dry-run", action="store_true", help="only say how many it would be")


def _filters(parser: argparse.ArgumentParser) -> None:
    names = ", ".join(TOPICS)
    parser.add_argument("--topic", action="append", help=f"{names}, or a topic's full name; repeatable")
    parser.add_argument("--host", action="append", help="name or id of a host; repeatable")
    parser.add_argument("--stage", action="append", choices=STAGES, help="who refused it; repeatable")
    parser.add_argument("--reason", help="text in the reason, in any case")
    parser.add_argument("--since", help="refused within 30m, 6h, 2d, or since an RFC 3339 time")


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """The filters that were set. Raises ``BadInput``."""
    given = {name: getattr(arguments, name) for name in FILTERS if getattr(arguments, name)}
    if "topic" in given:
        given["topic"] = [_topic(name) for name in given["topic"]]
    if _AGE.fullmatch(given.get("since", "")):
        given["since"] = f"now-{given['since']}"
    return given


def _topic(name: str) -> str:
    if name not in TOPICS and name not in TOPICS.values():
        raise BadInput(f"there is no topic {name!r}; there are {', '.join(TOPICS)}")
    return TOPICS.get(name, name)


async def _list(client: AdminClient, arguments: argparse.Namespace) -> int:
    query = _given(arguments) | {"limit": arguments.limit}
    if arguments.state:
        query["state"] = arguments.state
    found = await client.call("GET", f"{PATH}?{urlencode(query, doseq=True)}")
    if arguments.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return 0
    if not found["items"]:
        print("no dead letters")
        return 0
    table(
        ("LETTERS", "TOPIC", "STAGE", "HOST", "LAST", "REASON"),
        [
            (str(c["letters"]), c["topic"], c["stage"], _plain(c["host_id"]), c["last"], _plain(c["reason"]))
            for c in found["counts"]
        ],
    )
    print()
    table(
        ("ID", "REFUSED", "ORIGIN", "STATE", "BYTES", "STAGE", "REASON"),
        [
            (r["id"], r["failed_at"], _origin(r), r["state"], _size(r), r["stage"], _plain(r["reason"]))
            for r in found["items"]
        ],
    )
    return 0


async def _show(client: AdminClient, arguments: argparse.Namespace) -> int:
    letter = await client.call("GET", f"{PATH}{quote(arguments.id, safe='')}/")
    if arguments.json:
        print(json.dumps(letter, indent=2, ensure_ascii=False))
        return 0
    value = letter.pop("value")
    del letter["value_base64"]
    for name, content in letter.items():
        print(f"{name + ':':<12} {'-' if content in (None, '') else _plain(str(content), 2000)}")
    print()
    print(_plain(value, len(value)))
    return 0


async def _retry(client: AdminClient, arguments: argparse.Namespace) -> int:
    body = _named(arguments)
    total = 0
    while True:
        answer = await client.call("POST", f"{PATH}retry/", body)
        total += answer["settled"]
        if arguments.dry_run or not answer["left"] or not answer["settled"]:
            break
    if arguments.dry_run:
        print(f"would send {answer['settled'] + answer['left']} again")
    else:
        print(f"sent {total} again; what is refused once more is a new dead letter")
    if answer["hopeless"]:
        print(f"{answer['hopeless']} cannot be sent again: their lines were cut or are empty", file=sys.stderr)
    return 0


async def _drop(client: AdminClient, arguments: argparse.Namespace) -> int:
    body = _named(arguments)
    if not arguments.yes:
        body["dry_run"] = True
    answer = await client.call("POST", f"{PATH}drop/", body)
    if body["dry_run"]:
        print(f"would drop {answer['settled']}" + ("" if arguments.dry_run else "; do it with --yes"))
        return 0 if arguments.dry_run else 2
    print(f"dropped {answer['settled']}")
    return 0


def _named(arguments: argparse.Namespace) -> dict[str, Any]:
    body = _given(arguments)
    if not body and not arguments.ids:
        raise BadInput("name the letters: IDs, or at least one of --topic, --host, --stage, --reason, --since")
    return body | {"ids": arguments.ids, "dry_run": arguments.dry_run}


def _origin(letter: dict[str, Any]) -> str:
    return f"{letter['topic']}:{letter['partition']}:{letter['offset']}:{letter['line']}"


def _size(letter: dict[str, Any]) -> str:
    return f"{letter['bytes']}{' (cut)' if letter['truncated'] else ''}"


def _plain(text: str, most: int = 120) -> str:
    """Fit for a terminal, whatever an agent sent."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:most])
    return clean if len(text) <= most else clean + "…"
