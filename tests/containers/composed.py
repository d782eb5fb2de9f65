"""docker-compose.yml as it stands in the repository, told what `.env.example` says and which images there are."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.containers.engine import Engine, NoEngine, run
from tests.containers.images import REPOSITORY

UP_WITHIN = 1200.0
NOFILE = 262_144  # what docker-compose.yml wants for ClickHouse


def compose_command() -> list[str]:
    """The one of this machine. Raises ``NoEngine`` where there is none."""
    if shutil.which("docker") and not subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise NoEngine("not installed: docker compose")


class Composed:
    def __init__(self, engine: Engine, scratch: Path, settings: Mapping[str, str]) -> None:
        self.engine = engine
        # Who may not raise the limit can give no more than it has.
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        settings = {
            **settings,
            "CLICKHOUSE_NOFILE": str(NOFILE if most == resource.RLIM_INFINITY else min(most, NOFILE)),
        }
        told = "".join(f"{name}={value}\n" for name, value in settings.items())
        env_file = scratch / "env"
        env_file.write_text((REPOSITORY / ".env.example").read_text() + told)
        self._command = [*compose_command(), "--env-file", str(env_file), "-f", str(REPOSITORY / "docker-compose.yml")]

    def __call__(self, *words: str, within: float = 120.0) -> str:
        return run(*self._command, *words, environ=self.engine.environ, within=within, at=REPOSITORY)

    def container(self, service: str) -> dict[str, Any]:
        """What the engine knows of it."""
        number = self("ps", "--all", "--quiet", service).split()[-1]
        return json.loads(self.engine.docker("inspect", number))[0]  # type: ignore[no-any-return]

    def inside(self, service: str, *words: str, check: bool = True) -> str:
        return self.engine.docker("exec", self.container(service)["Id"], *words, check=check)

    def state(self, service: str) -> str:
        """`healthy`, `unhealthy`, `starting` where it has a health check; else `running`, `exited 0`, …"""
        state = self.container(service)["State"]
        if state["Status"] == "exited":
            return f"exited {state['ExitCode']}"
        return str(state["Health"]["Status"] if state["Status"] == "running" and "Health" in state else state["Status"])

    def troubles(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """The services that are not in the state they should be in, and the state they are in."""
        states = {service: self.state(service) for service in wanted}
        return {service: state for service, state in states.items() if state != wanted[service]}

    def last_words(self, services: list[str]) -> str:
        """Their logs and health checks, for whoever has to find out."""
        told = []
        for service in services:
            container = self.container(service)
            checks = container["State"].get("Health", {}).get("Log", [])[-2:]
            log = self.engine.docker("logs", "--tail", "40", container["Id"], check=False)
            told.append(f"--- {service}: {container['State']['Status']}, checks {checks}\n{log}")
        return "\n".join(told)
