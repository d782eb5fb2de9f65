"""Who this host is: the machine id says, the name is a label."""

from __future__ import annotations

import logging
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from services.agent.collectors.system import host_name
from services.agent.paths import HostPaths
from services.agent.procfile import read_text
from shared.runtime.settings import AgentSettings

log = logging.getLogger(__name__)

MACHINE_ID_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")


@dataclass(frozen=True)
class Identity:
    host_id: str
    labels: dict[str, str]
    fixed_name: str | None
    paths: HostPaths

    def name(self) -> str:
        """The host's name now; it may be changed while we run."""
        return self.fixed_name or host_name(self.paths)


def identify(settings: AgentSettings, paths: HostPaths, directory: Path) -> Identity:
    """The setting, else the host's machine id, else one made up once and kept in ``directory``."""
    host_id = settings.host_id or machine_id(paths) or kept_id(directory / "host-id")
    return Identity(host_id[:128], dict(sorted(settings.labels.items())[:64]), settings.host, paths)


def machine_id(paths: HostPaths) -> str | None:
    for file in MACHINE_ID_FILES:
        found = parse_machine_id(read_text(paths.under_root(file)))
        if found:
            return found
    return None


def parse_machine_id(content: str) -> str | None:
    """``None`` for what is not one: empty and "uninitialized" are what images are shipped with."""
    found = content.strip().replace("-", "").lower()
    return found if re.fullmatch(r"[0-9a-f]{32}", found) and set(found) != {"0"} else None


def kept_id(path: Path) -> str:
    found = parse_machine_id(read_text(str(path)))
    if found:
        return found
    fresh = secrets.token_hex(16)
    try:
        path.write_text(f"{fresh}\n")
        log.info("this machine has no machine id, made one", extra={"host_id": fresh, "path": path})
    except OSError as error:
        log.warning("cannot keep the host id", extra={"path": path, "reason": error.strerror})
    return fresh
