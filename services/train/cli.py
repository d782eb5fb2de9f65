"""``lapwing train``: fits models on labelled files and on stored history, and says which of them are in use."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.history import span
from shared.runtime.arguments import Run, command, group
from shared.runtime.clock import SystemClock
from shared.runtime.settings import Settings, SettingsError

if TYPE_CHECKING:
    from services.train.session import Session

KINDS = ("overload", "frozen")
KEPT = 5


def register(commands: Any) -> None:
    train = group(
        commands,
        "train",
        "fit scikit-learn models, and choose which are in use",
        "lapwing train overload --csv cpu_overload.csv --use",
    )
    overload = command(
        train,
        "overload",
        "fit a support vector machine and a random forest that tell overload",
        "lapwing train overload --csv cpu_overload.csv --use\n  lapwing train overload --from now-30d",
        _refusing(_overload),
    )
    overload.add_argument("--csv", type=Path, metavar="FILE", help="columns of numbers, and one of labels (0 and 1)")
    overload.add_argument(
        "--value", action="append", default=[], metavar="COLUMN", help="of the file; repeatable (default: all numbers)"
    )
    overload.add_argument("--label", metavar="COLUMN", help="of the file (default: the one called so, else the last)")
    span.add_to(overload, required=False)
    _versions(overload)
    frozen = command(
        train,
        "frozen",
        "fit models of what each host looks like when it is quiet",
        "lapwing train frozen --from now-7d --quiet auto --use",
        _refusing(_frozen),
    )
    span.add_to(frozen, required=True)
    frozen.add_argument(
        "--quiet",
        choices=("all", "auto"),
        default="all",
        help="all: the whole time named was quiet; auto: choose the longest quiet stretch of it, and say which",
    )
    _versions(frozen)
    listed = command(train, "list", "list the models and which are in use", "lapwing train list", _refusing(_list))
    listed.add_argument("kind", nargs="?", choices=KINDS, metavar="KIND", help="overload or frozen")
    show = command(train, "show", "print a model's card", "lapwing train show overload svm", _refusing(_show))
    _named(show)
    show.add_argument("version", nargs="?", type=_version, metavar="VERSION", help="default: the one in use")
    use = command(train, "use", "put a version into use, or none", "lapwing train use overload svm 3", _refusing(_use))
    _named(use)
    use.add_argument("version", metavar="VERSION", type=_version_or_none, help="a number, or none")
    remove = command(
        train,
        "remove",
        "delete a version that is not in use",
        "lapwing train remove overload svm 2",
        _refusing(_remove),
    )
    _named(remove)
    remove.add_argument("version", metavar="VERSION", type=_version, help="a number")


def _versions(parser: Any) -> None:
    parser.add_argument("--use", action="store_true", help="put what is fitted into use")
    parser.add_argument(
        "--keep", type=_version, default=KEPT, metavar="N", help=f"versions of a model that are kept (default: {KEPT})"
    )


def _named(parser: Any) -> None:
    parser.add_argument("kind", choices=KINDS, metavar="KIND", help="overload or frozen")
    parser.add_argument("name", metavar="NAME", help="svm or forest; of a frozen model the host's id or name")


def _version(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:9]) < 10**8 or len(text) > 8:
        raise argparse.ArgumentTypeError(f"{text!r} is no such number; 1, 2, 3 …")
    return int(text)


def _version_or_none(text: str) -> int | None:
    return None if text == "none" else _version(text)


def _refusing(work: Callable[[Session, argparse.Namespace], int]) -> Run:
    """What a file or a model is refused for is bad input, in one line."""

    def run(settings: Settings, arguments: argparse.Namespace) -> int:
        try:
            from services.train.labelled import TrainError
            from services.train.session import Session
            from shared.models.arrays import ModelError
            from shared.models.registry import models_dir

            try:
                return work(Session(settings, models_dir(settings.data_dir), SystemClock()), arguments)
            except (TrainError, ModelError) as problem:
                raise SettingsError(str(problem)) from None
        except ModuleNotFoundError as missing:  # on an agent's machine
            raise SettingsError(f"`lapwing train` needs {missing.name}; the extra `detector` has it") from None

    return run


def _overload(session: Session, arguments: argparse.Namespace) -> int:
    if (arguments.csv is None) == (arguments.start is None):
        raise SettingsError("say of what to learn: either --csv FILE, or --from TIME for stored history")
    if arguments.csv is None and (arguments.value or arguments.label):
        raise SettingsError("--value and --label are about the columns of a file: name it with --csv")
    if arguments.csv is not None:
        if arguments.host or arguments.end != "now":
            raise SettingsError("--to and --host are about stored history: use --from instead of --csv")
        session.claim()
        session.overload_from_csv(arguments.csv, arguments.value, arguments.label, arguments.use, arguments.keep)
    else:
        wanted = span.span_of(arguments, session.now_ms)
        session.claim()
        asyncio.run(session.overload_from_history(wanted, arguments.use, arguments.keep))
    return 0


def _frozen(session: Session, arguments: argparse.Namespace) -> int:
    session.claim()
    wanted = span.span_of(arguments, session.now_ms)
    return asyncio.run(session.frozen(wanted, arguments.quiet == "auto", arguments.use, arguments.keep))


def _list(session: Session, arguments: argparse.Namespace) -> int:
    return session.list(arguments.kind)


def _show(session: Session, arguments: argparse.Namespace) -> int:
    return session.show(arguments.kind, arguments.name, arguments.version)


def _use(session: Session, arguments: argparse.Namespace) -> int:
    return session.use(arguments.kind, arguments.name, arguments.version)


def _remove(session: Session, arguments: argparse.Namespace) -> int:
    return session.remove(arguments.kind, arguments.name, arguments.version)
