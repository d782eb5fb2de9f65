"""The command line: every command, its help, its example, and what it calls."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from services import compose
from shared.runtime import settings as settings_module
from shared.runtime.arguments import Run, command, group
from shared.runtime.descriptors import allow_enough
from shared.runtime.lifecycle import Runner
from shared.runtime.settings import Settings
from shared.runtime.version import VERSION

T = TypeVar("T")

SETTLED_AFTER = 10.0  # seconds

SERVICE_HELP = {
    "agent": "measure this machine and publish what is found",
    "ingest": "write what is on the topics into ClickHouse",
    "detector": "score every event and publish anomalies",
    "alerter": "weigh samples and anomalies, send e-mails and webhooks",
    "api": "serve the HTTP API and the dashboard",
}


class UsageError(ValueError):
    """Input a command cannot work with; the message is complete and fit for a person."""


def parser() -> argparse.ArgumentParser:
    """``arguments.run(settings, arguments)`` carries the command out."""
    root = argparse.ArgumentParser(
        prog="lapwing",
        description="Lapwing watches servers.",
        epilog="Settings: LAPWING_… variables or the YAML file that LAPWING_CONFIG names; see `lapwing config show`.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"lapwing {VERSION}")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)

    up = command(commands, "up", "run everything in one process", "lapwing up", _up)
    up.set_defaults(serves=True)
    up.add_argument("--port", type=_port, help="listen on this port (LAPWING_API__PORT)")
    for name, text in SERVICE_HELP.items():
        command(commands, name, text, f"lapwing {name}", _service(name)).set_defaults(serves=True)
    command(commands, "migrate", "create or upgrade the ClickHouse schema", "lapwing migrate", _migrate)
    command(commands, "topics", "create the Kafka topics", "lapwing topics", _topics)
    _config_commands(commands)
    _alert_commands(commands)
    _account_commands(commands)
    return root


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; 0 to 65535, where 0 takes a free one")
    return int(text)


def _config_commands(commands: Any) -> None:
    config = group(commands, "config", "look at the settings", "lapwing config show")
    command(config, "check", "say whether the settings can be used", "lapwing config check", _config_check)
    command(config, "show", "print every setting in force, secrets masked", "lapwing config show", _config_show)


def _alert_commands(commands: Any) -> None:
    alert = group(commands, "alert", "try the ways to tell somebody", "lapwing alert test webhook")
    test = command(alert, "test", "send a test notification", "lapwing alert test webhook", _alert_test)
    test.add_argument("channel", choices=("webhook", "email"), metavar="CHANNEL", help="webhook or email")


def _account_commands(commands: Any) -> None:
    from services.api.accounts_cli import register

    register(commands)


def _up(config: Settings, arguments: argparse.Namespace) -> int:
    if arguments.port is not None:
        config = config.model_copy(update={"api": config.api.model_copy(update={"port": arguments.port})})
    return _run(_serve(config, compose.SERVICES))


def _service(name: str) -> Run:
    run = asyncio.run if name == "agent" else _run
    return lambda config, _: run(_serve(config, [name]))


async def _serve(config: Settings, names: Sequence[str]) -> int:
    allow_enough()
    # What importing and the command line left behind goes before what is loaded next needs its place.
    gc.collect()
    product = compose.build(config, names)

    def started() -> None:
        # What was loaded stays: the collector need not walk through it again, and what loading left behind may go.
        gc.collect()
        gc.freeze()
        if names == ["agent"]:
            gc.set_threshold(10_000)  # a tick makes a thousand objects and not one cycle
        _give_back_memory()
        # Connections are made later, and leave something behind, too.
        asyncio.get_running_loop().call_later(SETTLED_AFTER, _give_back_memory)
        if "api" in names:
            print(_banner(product), flush=True)

    await Runner(product.parts, on_started=started, leave_within=0.5).run()
    return 0


def _give_back_memory() -> None:
    """glibc keeps what was freed, some megabytes after all the imports, unless it is asked."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _banner(product: compose.Product) -> str:
    api = product.part("api")
    lines = [f"Lapwing {VERSION} stands guard.", "", f"  URL        {api.url}", "  user       admin"]
    if api.first_password:
        lines.append(f"  password   {api.first_password}")
        lines.append("             (made just now and shown once; `lapwing user passwd admin` changes it)")
    lines += [f"  data       {product.settings.data_dir.absolute()}", "", "Ctrl-C stops it."]
    return "\n" + "\n".join(f"  {line}" for line in lines) + "\n"


def _migrate(config: Settings, _: argparse.Namespace) -> int:
    applied = _run(compose.migrate_store(config))
    print("\n".join(f"applied {name}" for name in applied) if applied else "the schema is up to date")
    return 0


def _topics(config: Settings, _: argparse.Namespace) -> int:
    if "://" in config.kafka.bootstrap_servers:
        raise UsageError(
            "`lapwing up` makes the topics of its own broker; name another one in LAPWING_KAFKA__BOOTSTRAP_SERVERS"
        )
    _run(compose.create_topics(config))
    print("the topics are there")
    return 0


def _config_check(config: Settings, _: argparse.Namespace) -> int:
    print("the settings can be used")
    return 0


def _config_show(config: Settings, _: argparse.Namespace) -> int:
    for variable, value in settings_module.masked(config):
        print(f"{variable}={value}")
    return 0


def _alert_test(config: Settings, arguments: argparse.Namespace) -> int:
    from services.alerter.trial import send_test

    print(_run(send_test(config, arguments.channel)))
    return 0


def _run(work: Coroutine[Any, Any, T]) -> T:
    """On uvloop where it is installed: it saves a sixth of the stream processors' CPU. The agent gains nothing by it
    and stays smaller without.
    """
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
