"""House rules that no linter can say. Each failure names the file and the rule."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("services", "shared")
LONG = 25  # a public function of more lines explains itself in a docstring


def tracked() -> list[Path]:
    """What git keeps; in a source tree without git, everything that looks like source."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
        files = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        files = [p for top in (*OURS, "tests", "docs", "deploy") for p in (ROOT / top).rglob("*")]
    return [p for p in files if p.is_file() and "__pycache__" not in p.parts]


TRACKED = tracked()


def named(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def texts() -> list[tuple[Path, str]]:
    found = []
    for path in TRACKED:
        try:
            found.append((path, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


def test_there_is_something_to_look_at() -> None:
    assert len(TRACKED) > 60


def test_no_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "misc", "common", "lib"}
    assert named([p for p in TRACKED if p.stem in drawers or drawers & set(p.relative_to(ROOT).parts[:-1])]) == []


def test_packages_do_nothing_at_import() -> None:
    for top in OURS:
        assert (ROOT / top / "__init__.py").read_text() == "", f"{top}/__init__.py must stay empty"


def test_tests_do_not_hide_the_package_they_test() -> None:
    assert not (ROOT / "tests" / "services").exists() and not (ROOT / "tests" / "shared").exists()


@pytest.mark.parametrize("lock", sorted(ROOT.glob("requirements*.lock")), ids=lambda path: path.name)
def test_locks_carry_hashes_and_no_address(lock: Path) -> None:
    text = lock.read_text()
    packages = re.findall(r"^[A-Za-z0-9][^\n]*==(?:[^\n]*\\\n)+(?:[^\n]*\n)?", text, re.MULTILINE)
    pins = re.findall(r"^[A-Za-z0-9][\w.\-\[\]]*==", text, re.MULTILINE)
    assert len(pins) > 10
    assert len(packages) == len(pins) and all("--hash=sha256:" in package for package in packages)
    assert not re.search(r"https?://|--index-url|--extra-index-url|--find-links|--trusted-host| @ ", text)


def test_the_locks_are_there() -> None:
    assert (ROOT / "requirements.lock").is_file() and (ROOT / "requirements-agent.lock").is_file()


def test_no_path_of_somebodys_machine() -> None:
    private = re.compile(r"(?<![\w.$}])/(?:home|Users)/(?!lapwing\b)\w+/|(?<![\w.$}])/tmp/\w|(?<![\w.$}])/root/\w")
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path, text in texts()
        if path.suffix in {".py", ".toml", ".cfg", ".md", ".sh", ".yaml", ".yml", ".ini"} or path.name == "Makefile"
        if path != Path(__file__)
        for match in private.finditer(text)
    ]
    assert found == []


def test_migrations_are_numbered_without_gaps() -> None:
    names = sorted(p.name for p in (ROOT / "shared" / "store" / "sql").glob("*.sql"))
    assert names
    for number, name in enumerate(names, start=1):
        assert re.fullmatch(rf"{number:04}_[a-z0-9_]+\.sql", name), f"{name}: expected number {number:04}"


def test_every_table_of_a_migration_is_created_if_missing() -> None:
    """A migration that was cut short is run again."""
    for path in (ROOT / "shared" / "store" / "sql").glob("*.sql"):
        for statement in re.findall(r"^CREATE [A-Z ]+", path.read_text(), re.MULTILINE):
            assert "IF NOT EXISTS" in statement or "OR REPLACE" in statement, f"{path.name}: {statement}"


def sources() -> list[Path]:
    return [p for p in TRACKED if p.suffix == ".py" and p.relative_to(ROOT).parts[0] in OURS]


def test_long_public_functions_say_what_they_promise() -> None:
    silent = []
    for path in (p for p in sources() if p.relative_to(ROOT).parts[0] == "shared"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
                continue
            lines = (node.end_lineno or node.lineno) - node.lineno
            if lines > LONG and not ast.get_docstring(node):
                silent.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} ({lines} lines)")
    assert silent == []


def test_every_file_of_ours_begins_with_a_sentence() -> None:
    silent = [p for p in sources() if (text := p.read_text()).strip() and not ast.get_docstring(ast.parse(text))]
    assert named(silent) == []


def test_files_stay_small() -> None:
    assert named([p for p in sources() if len(p.read_text().splitlines()) > 600]) == []


def test_tests_wait_for_conditions_not_for_time() -> None:
    """``time.sleep(3)`` as a way to wait makes a suite slow and wrong; ``tests/support/waiting.py`` is there."""
    found = []
    for path in TRACKED:
        if path == Path(__file__) or path.suffix != ".py":
            continue
        if path.relative_to(ROOT).parts[:2] not in {("tests", "unit"), ("tests", "contract")}:
            continue
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            match = re.search(r"\bsleep\((\d+(?:\.\d+)?)\)", line)
            if match and float(match[1]) >= 1 and "# " not in line:
                found.append(f"{path.relative_to(ROOT)}:{number}")
    assert found == []


def test_nothing_is_asserted_that_cannot_fail() -> None:
    def always(test: ast.expr) -> bool:
        return bool(isinstance(test, ast.Constant) and test.value) or bool(isinstance(test, ast.Tuple) and test.elts)

    empty = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in TRACKED
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] == "tests"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assert) and always(node.test)
    ]
    assert empty == []


HEAVY = {"numpy", "scipy", "river", "sklearn", "fastapi", "chdb", "faust", "clickhouse_connect", "yaml"}
SMALL = {"aiokafka.admin", "importlib.metadata", "importlib.resources", "email", "csv", "zipfile", "http"}
"""And what only looks small: three megabytes of every agent."""


@pytest.mark.parametrize(
    ("what", "modules", "forbidden"),
    [
        ("the command line", "services.commands", HEAVY | SMALL | {"aiokafka"}),
        ("an agent", "services.commands, services.agent.plan, services.agent.service", HEAVY | SMALL | {"aiokafka"}),
    ],
)
def test_who_is_to_be_small_loads_nothing_heavy(what: str, modules: str, forbidden: set[str]) -> None:
    words = f"import sys, {modules}; services.commands.parser(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert sorted(forbidden & set(loaded.split())) == [], what
