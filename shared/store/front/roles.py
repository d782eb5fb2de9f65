"""The engine's own rights: a role that may do everything, and one that may read what is meant to be read.

chDB knows one user, ``default``; here it gets all its rights from two roles, and a handle for the reader takes on the
reader's alone. What is not named in ``READABLE`` cannot be read, whatever table function or view it is asked through.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from shared.store.migrate import RETENTION

WRITER_ROLE = "lapwing_writer"
READER_ROLE = "lapwing_reader"

READABLE = ("hosts", *RETENTION, "schema_migrations")
"""Tables the reader may see, besides all views ``v_…``, which read with the rights of who asks."""

_CONFIG = """<clickhouse>
  <users_config>{users}</users_config>
</clickhouse>
"""

_USERS = """<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <roles>
    <{writer}><grants><query>GRANT ALL ON *.*</query></grants></{writer}>
    <{reader}><grants>
{grants}
    </grants></{reader}>
  </roles>
  <users>
    <default>
      <password></password>
      <networks><ip>::/0</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants><query>GRANT {writer}, {reader}</query></grants>
    </default>
  </users>
</clickhouse>
"""


def write_config(directory: Path, databases: list[str]) -> Path:
    """Writes what the engine must be opened with, and returns its path."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    users = directory / "engine-users.xml"
    config = directory / "engine.xml"
    grants = "\n".join(f"      <query>{escape(grant)}</query>" for name in databases for grant in _grants(name))
    _write(users, _USERS.format(writer=WRITER_ROLE, reader=READER_ROLE, grants=grants))
    _write(config, _CONFIG.format(users=escape(str(users))))
    return config


def _grants(database: str) -> list[str]:
    tables = [f"GRANT SELECT ON `{database}`.`{table}`" for table in READABLE]
    return [f"GRANT SELECT ON `{database}`.v_*", *tables]


def _write(file: Path, text: str) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(0o600)
    fresh.replace(file)
