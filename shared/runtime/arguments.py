"""The shape of a command: one line of help, and an example."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from shared.runtime.settings import Settings

Run = Callable[[Settings, argparse.Namespace], int | None]


def command(commands: Any, name: str, text: str, example: str, run: Run | None = None) -> argparse.ArgumentParser:
    """Adds ``name`` to ``commands``; ``arguments.run(settings, arguments)`` carries it out."""
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if run is not None:
        made.set_defaults(run=run)
    return made


def group(commands: Any, name: str, text: str, example: str) -> Any:
    """A command that only has others under it; returns where to add them."""
    return command(commands, name, text, example).add_subparsers(metavar="ACTION", required=True)
