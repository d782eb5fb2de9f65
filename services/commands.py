"""The command line: every command, its help, its example, and what it calls."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from services import compose
from shared.runtime import logs, memory, pulse
from shared.runtime import settings as settings_module
from shared.runtime.arguments import Run, command, group
from shared.runtime.data_dir import DataDir
from shared.runtime.descriptors import allow_enough
from shared.runtime.lifecycle import Runner
from shared.runtime.readiness import tell_ready
from shared.runtime.settings import Settings
from shared.runtime.version import VERSION
from shared.schemas.topics import ALL_TOPICS

T = TypeVar("T")

SETTLED_AFTER = (10.0, 90.0)  # seconds: connections are made, the first minute is rolled up

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
    up.add_argument("--processes", action="store_true", help="each service a process of its own, on an Apache Kafka")
    up.add_argument("--port", type=_port, help="listen on this port (LAPWING_API__PORT)")
    _agent_command(commands)
    for name, text in SERVICE_HELP.items():
        if name != "agent":
            command(commands, name, text, f"lapwing {name}", _service(name)).set_defaults(serves=True)
    broker = command(commands, "broker", "run an Apache Kafka of our own", "lapwing broker", _broker)
    broker.set_defaults(serves=True)
    health = command(
        commands, "health", "say whether services on this machine make progress", "lapwing health agent", _health
    )
    health.add_argument("services", nargs="*", metavar="SERVICE", help=f"of {', '.join(SERVICE_HELP)}; all by default")
    command(commands, "migrate", "create or upgrade the ClickHouse schema", "lapwing migrate", _migrate)
    command(commands, "topics", "create the Kafka topics", "lapwing topics", _topics)
    _store_commands(commands)
    _config_commands(commands)
    _alert_commands(commands)
    _account_commands(commands)
    _dead_letter_commands(commands)
    _kafka_user_commands(commands)
    _rules_commands(commands)
    _replay_commands(commands)
    _train_commands(commands)
    return root


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; 0 to 65535, where 0 takes a free one")
    return int(text)


def _store_commands(commands: Any) -> None:
    store = group(commands, "store", "let others reach the embedded store", "lapwing store serve")
    command(
        store, "serve", "serve the embedded store over ClickHouse's HTTP protocol", "lapwing store serve", _store_serve
    ).set_defaults(serves=True)


def _agent_command(commands: Any) -> None:
    example = "lapwing agent --url https://lapwing.example.org --token-file /etc/lapwing/token"
    agent = command(commands, "agent", SERVICE_HELP["agent"], example, _agent)
    agent.set_defaults(serves=True)
    agent.add_argument("--url", help="post to this Lapwing instead of a broker (LAPWING_AGENT__URL)")
    agent.add_argument(
        "--token-file", metavar="FILE", help="where the token for it is kept (LAPWING_AGENT__TOKEN_FILE)"
    )


def _config_commands(commands: Any) -> None:
    config = group(commands, "config", "look at the settings", "lapwing config show")
    command(config, "check", "say whether the settings can be used", "lapwing config check", _config_check)
    command(config, "show", "print every setting in force, secrets masked", "lapwing config show", _config_show)


def _alert_commands(commands: Any) -> None:
    alert = group(commands, "alert", "try the ways to tell somebody", "lapwing alert test webhook")
    test = command(alert, "test", "send a test notification", "lapwing alert test webhook", _alert_test)
    test.add_argument("receiver", metavar="RECEIVER", help="webhook, email, or a receiver of the routing file")


def _account_commands(commands: Any) -> None:
    from services.api.accounts_cli import register

    register(commands)


def _dead_letter_commands(commands: Any) -> None:
    from services.api.dead_letters_cli import register

    register(commands)


def _kafka_user_commands(commands: Any) -> None:
    from services.kafka_users.cli import register

    register(commands)


def _rules_commands(commands: Any) -> None:
    from services.rules.cli import register

    register(commands)


def _replay_commands(commands: Any) -> None:
    from services.replay.cli import register

    register(commands)


def _train_commands(commands: Any) -> None:
    from services.train.cli import register

    register(commands)


def _up(config: Settings, arguments: argparse.Namespace) -> int:
    if arguments.port is not None:
        config = config.model_copy(update={"api": config.api.model_copy(update={"port": arguments.port})})
    if arguments.processes:
        return _up_as_processes(config)
    return _run(_serve(config, compose.SERVICES))


def _up_as_processes(config: Settings) -> int:
    from services.supervise import product
    from services.supervise.relay import Relay, Voice

    data_dir = DataDir(config.data_dir)
    data_dir.claim([product.NAME])
    plan = product.plan(config, os.environ)
    relay = Relay([product.NAME, *plan.names], "json" if config.log.format == "json" else "text")
    logs.setup(config.log.level, "json" if config.log.format == "json" else "text", Voice(relay, product.NAME))
    # Not on uvloop: the processes die with the thread that starts them, and here that is known to be this one.
    runner = Runner(product.parts(plan, relay), on_started=relay.everything_is_up, leave_within=0.2)
    asyncio.run(runner.run())
    data_dir.release()
    return 0


def _broker(config: Settings, _: argparse.Namespace) -> int:
    async def serve() -> None:
        broker = compose.own_broker(config)
        await Runner(broker.parts, on_started=tell_ready, leave_within=0.5).run()

    asyncio.run(serve())
    return 0


def _service(name: str) -> Run:
    return lambda config, _: _run(_serve(config, [name]))


def _agent(config: Settings, arguments: argparse.Namespace) -> int:
    given: dict[str, Any] = {}
    if arguments.url is not None:
        given["url"] = arguments.url
    if arguments.token_file is not None:
        given["token"] = settings_module.secret_from(arguments.token_file, "--token-file")
    if given:
        config = settings_module.with_agent(config, given)
    if arguments.token_file is not None and config.agent.url is None:
        raise UsageError("a token is for posting: name where to with --url https://…")
    if config.agent.url is not None and config.agent.token is None:
        raise UsageError(
            "--url needs --token-file (or LAPWING_AGENT__TOKEN): make a token there with "
            "`lapwing token create NAME --scope ingest`"
        )
    return asyncio.run(_serve(config, ["agent"]))


async def _serve(config: Settings, names: Sequence[str]) -> int:
    allow_enough()
    # What importing and the command line left behind goes before what is loaded next needs its place.
    gc.collect()
    if names == ["agent"] and config.agent.url is None:
        from shared.bus import lean_aiokafka

        lean_aiokafka.load()
    product = compose.build(config, names)

    def started() -> None:
        # What was loaded stays: the collector need not walk through it again, and what loading left behind may go.
        gc.collect()
        gc.freeze()
        if names == ["agent"]:
            gc.set_threshold(10_000)  # a tick makes a thousand objects and not one cycle
        memory.give_back()
        # What is done for the first time later leaves something behind, too.
        for seconds in SETTLED_AFTER:
            asyncio.get_running_loop().call_later(seconds, memory.give_back)
        if "api" in names:
            print(_banner(product), flush=True)
        if any(part.name == compose.STORE_FRONT for part in product.parts):
            print(_store_banner(product), flush=True)
        tell_ready()

    await Runner(product.parts, on_started=started, leave_within=0.5).run()
    return 0


def _banner(product: compose.Product) -> str:
    api = product.part("api")
    lines = [f"Lapwing {VERSION} stands guard.", "", f"  URL        {api.url}", "  user       admin"]
    if api.first_password:
        lines.append(f"  password   {api.first_password}")
        lines.append("             (made just now and shown once; `lapwing user passwd admin` changes it)")
    lines += [f"  data       {product.settings.data_dir.absolute()}", "", "Ctrl-C stops it."]
    return "\n" + "\n".join(f"  {line}" for line in lines) + "\n"


def _health(config: Settings, arguments: argparse.Namespace) -> int:
    if unknown := set(arguments.services) - SERVICE_HELP.keys():
        raise UsageError(f"{min(unknown)!r} is no service; there are {', '.join(SERVICE_HELP)}")
    status = 0
    for name in arguments.services or SERVICE_HELP:
        age = pulse.age(config.data_dir, name)
        well = age is not None and age < pulse.STALE_AFTER
        status = status if well else 1
        print(f"{name}: {'does not run' if age is None else f'made progress {age:.0f} s ago'}")
    return status


def _store_banner(product: compose.Product) -> str:
    front = product.part(compose.STORE_FRONT)
    lines = [f"The store is served at {front.url}"]
    for user in front.users.made:
        lines.append(f"  user {user:<8} password {front.users.passwords[user]}")
    if front.users.made:
        lines.append("  (made just now and shown once; kept in store-<user>.password in the data directory)")
    return "\n" + "\n".join(f"  {line}" for line in lines) + "\n"


def _store_serve(config: Settings, _: argparse.Namespace) -> int:
    return _run(_serve(config, [compose.STORE_FRONT]))


def _migrate(config: Settings, _: argparse.Namespace) -> int:
    applied = _run(compose.migrate_store(config))
    print("\n".join(f"applied {name}" for name in applied) if applied else "the schema is up to date")
    return 0


def _topics(config: Settings, _: argparse.Namespace) -> int:
    if "://" in config.kafka.bootstrap_servers:
        raise UsageError(
            "`lapwing up` makes the topics of its own broker; name another one in LAPWING_KAFKA__BOOTSTRAP_SERVERS"
        )
    _run(compose.create_topics(config, ALL_TOPICS))
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
    from services.alerter.delivery.trial import send_test

    print(_run(send_test(config, arguments.receiver)))
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
