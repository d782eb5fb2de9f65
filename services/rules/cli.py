"""``lapwing rules``: look at rules before they are trusted."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.runtime.arguments import command, group
from shared.runtime.settings import Settings, SettingsError, secret_from

if TYPE_CHECKING:
    from services.alerter.rules.book import Book
    from services.api.admin_client import AdminClient
    from services.rules.cover import Covered, Seen

_NAMED = 4
_SINCE = "now-1h"


def register(commands: Any) -> None:
    rules = group(commands, "rules", "look at the alerter's rules before they are trusted", "lapwing rules check")
    check = command(rules, "check", "say whether rules can be used", "lapwing rules check rules.yaml --list", _check)
    check.add_argument("path", nargs="?", type=Path, metavar="PATH", help="file or directory (LAPWING_ALERTER__RULES)")
    check.add_argument("--list", action="store_true", help="print the rules that are then in force")
    test = command(rules, "test", "run unit tests of rules", "lapwing rules test rules_test.yaml", _test)
    test.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="tests; docs/alerts.md says how to write them"
    )
    cover = command(
        rules,
        "cover",
        "say which rules look at which hosts: what would page me",
        "lapwing rules cover --url https://lapwing.example.org --token-file token",
        _cover,
    )
    cover.add_argument("--rules", type=Path, metavar="PATH", help="file or directory (LAPWING_ALERTER__RULES)")
    cover.add_argument("--host", metavar="NAME", help="only this host, with every rule in words")
    cover.add_argument("--url", help="another Lapwing than the one that runs on this machine")
    cover.add_argument("--token-file", metavar="FILE", help="where the token for it is kept; scope `read` is enough")


def _book(path: Path | None) -> Book:
    from services.alerter.rules.files import load_book
    from services.alerter.rules.rule import RulesError

    try:
        return load_book(path)
    except RulesError as error:
        raise SettingsError(str(error)) from None


# -- check ---------------------------------------------------------------------------------------------------------


def _check(settings: Settings, arguments: argparse.Namespace) -> int:
    from services.alerter.rules.book import OURS
    from services.alerter.rules.entries import entries

    book = _book(arguments.path or settings.alerter.rules)
    ours = [s for s in book.sources.values() if s.startswith(OURS)]
    patched = sum(s != OURS for s in ours)
    off = len(book.rules) - len(book.enabled)
    print(
        f"{len(book.enabled)} rules are in force: {len(ours)} of ours ({patched} patched), "
        f"{len(book.rules) - len(ours)} of your own" + (f", less {off} switched off" if off else "")
    )
    if arguments.list:
        for entry in entries(book, round(settings.alerter.host_silent_after * 1000)):
            state = entry.severity if entry.enabled else "off"
            print(f"  {entry.name:<24} {state:<9} {entry.condition}  [{entry.source}]")
    return 0


# -- test ----------------------------------------------------------------------------------------------------------


def _test(_: Settings, arguments: argparse.Namespace) -> int:
    failed = ran = 0
    for file in arguments.files:
        for name, lines in _tested(file):
            ran += 1
            failed += bool(lines)
            print(f"{'FAILED' if lines else 'ok':<7} {file}: {name}")
            print("".join(f"        {line}\n" for line in lines), end="")
    print(f"{ran} test(s), {failed} failed" + (" (- expected, + found)" if failed else ""))
    return 1 if failed else 0


def _tested(file: Path) -> list[tuple[str, list[str]]]:
    """Each test's name, and what is otherwise than it should be."""
    from services.alerter import yaml_file
    from services.rules.trial import TrialFile, run

    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    document = yaml_file.read(str(file), text, TrialFile, {"tests": "test"})
    if isinstance(document, list):
        raise SettingsError("\n".join(document))
    wanted = document.content
    rules = _book(file.parent / wanted.rules if wanted.rules else None).enabled
    for index, trial in enumerate(wanted.tests):
        if unknown := trial.rules_named - {r.name for r in rules}:
            why = f"test `{trial.name}`: there is no rule `{min(unknown)}`, or it is switched off"
            raise SettingsError(document.problem(("tests", index), why))
    return [
        (trial.name, [line for d in run(trial, rules, wanted.interval, wanted.host_silent_after) for line in d.lines()])
        for trial in wanted.tests
    ]


# -- cover ---------------------------------------------------------------------------------------------------------


def _cover(settings: Settings, arguments: argparse.Namespace) -> int:
    from services.rules.cover import metrics_of

    if (arguments.url is None) != (arguments.token_file is None):
        raise SettingsError("--url and --token-file belong together")
    if arguments.url is not None and not arguments.url.startswith(("http://", "https://")):
        raise SettingsError(f"--url: {arguments.url!r} must begin with `https://` or `http://`")
    token = secret_from(arguments.token_file, "--token-file") if arguments.token_file else ""
    book = _book(arguments.rules or settings.alerter.rules)
    hosts = asyncio.run(_seen(settings, arguments.url, token, metrics_of(book.enabled)))
    if not hosts:
        raise SettingsError("no host has reported; run this where Lapwing runs, or name it with --url and --token-file")
    if arguments.host is not None:
        hosts = [h for h in hosts if arguments.host in (h.host_id, h.name)]
        if not hosts:
            raise SettingsError(f"--host: nobody called {arguments.host!r} has reported")
    print("\n".join(_one_host(book, hosts, settings) if arguments.host else _all_hosts(book, hosts)))
    return 0


async def _seen(settings: Settings, url: str | None, token: str, metrics: Sequence[str]) -> list[Seen]:
    import httpx

    from services.api.admin_client import AdminClient, AdminRefused, Unreachable, admin_client
    from services.api.errors import ApiError

    try:
        if url is None:
            async with admin_client(settings) as client:
                return await _ask(client, metrics)
        headers = {"Accept-Language": "en", "Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as http:
            return await _ask(AdminClient(http), metrics)
    except (AdminRefused, ApiError, Unreachable) as error:
        raise SettingsError(str(error)) from None
    except (ValueError, KeyError, TypeError, httpx.InvalidURL):
        raise SettingsError(f"--url: {url!r} does not answer as Lapwing does") from None


async def _ask(client: AdminClient, metrics: Sequence[str]) -> list[Seen]:
    """Hosts with the instances each metric had within the last hour."""
    from services.rules.cover import Seen
    from shared.schemas.metrics import BY_NAME

    hosts = await client.call("GET", "/api/system/hosts/")
    instances: dict[str, dict[str, list[str]]] = {h["id"]: {} for h in hosts}
    for metric in metrics if hosts else ():
        query = f"metric={metric}&host=*&from={_SINCE}&step=1h&agg=count"
        answer = await client.call("GET", f"/api/system/history/?{query}")
        for series in answer["series"]:
            if any(value for _, value in series["points"]):
                label = BY_NAME[metric].label
                value = str(series["labels"].get(label, "")) if label else ""
                instances.get(series["host_id"], {}).setdefault(metric, []).append(value)
    return [Seen(h["id"], h["name"], h["labels"], instances[h["id"]]) for h in hosts]


def _all_hosts(book: Book, hosts: Sequence[Seen]) -> list[str]:
    from services.rules.cover import covered

    lines = [f"{'rule':<24} {'severity':<9} covers"]
    reached: set[str] = set()
    for rule in book.enabled:
        if rule.late is not None:
            said = "the monitoring itself"
        else:
            found = covered(rule, hosts)
            reached |= {c.host.host_id for c in found}
            said = _counted(found, len(hosts))
        lines.append(f"{rule.name:<24} {rule.severity:<9} {said}")
    left = [h.name for h in hosts if h.host_id not in reached]
    lines += ["", f"{len(hosts)} host(s)" + (f"; looked at by no rule: {', '.join(left)}" if left else "")]
    return lines


def _counted(found: Sequence[Covered], of: int) -> str:
    if not found:
        return "nobody"
    if len(found) == of and of > _NAMED:
        return f"all {of} hosts"
    names = [c.host.name + (f" ({_few(c.instances)})" if c.instances else "") for c in found[:_NAMED]]
    return f"{len(found)} of {of}: {', '.join(names)}" + (", …" if len(found) > _NAMED else "")


def _few(words: Sequence[str]) -> str:
    return ", ".join(words[:_NAMED]) + (", …" if len(words) > _NAMED else "")


def _one_host(book: Book, hosts: Sequence[Seen], settings: Settings) -> list[str]:
    from services.alerter.rules.entries import sentence
    from services.rules.cover import covered

    lines = []
    for rule in book.enabled:
        for found in covered(rule, hosts) if rule.late is None else ():
            where = f" ({_few(found.instances)})" if found.instances else ""
            words = sentence(rule, round(settings.alerter.host_silent_after * 1000))
            lines.append(f"{rule.name:<24} {rule.severity:<9} {words}{where}")
    return lines or ["no rule looks at it"]
