"""Where rules come from: the shipped file, or what ``LAPWING_ALERTER__RULES`` names."""

from __future__ import annotations

from pathlib import Path

from services.alerter.rules.rule import Rule, RulesError, parse

SHIPPED = Path(__file__).with_name("shipped.yaml")


def load_rules(path: Path | None) -> tuple[Rule, ...]:
    """The rules of a file, or of every ``*.yaml`` and ``*.yml`` of a directory. Raises ``RulesError``."""
    path = path or SHIPPED
    try:
        files = sorted(p for p in path.iterdir() if p.suffix in (".yaml", ".yml")) if path.is_dir() else [path]
        if not files:
            raise RulesError(f"{path}: no *.yaml file in it")
        return parse({(file.name if path == SHIPPED else str(file)): file.read_text("utf-8") for file in files})
    except (OSError, UnicodeDecodeError) as error:
        raise RulesError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
