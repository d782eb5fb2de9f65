"""Every test of ``make test``: most of them by workers at once, file by file, and then, one by one, those that want the
machine to themselves. ``python -m tests [workers]``
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

WORKERS = "2"
ALONE = ("tests/e2e", "tests/contract/test_agent_sections.py")
"""The whole product within bounds of time, and what is compared with the machine as it is at that moment."""


def main(workers: str) -> int:
    # In the order of their names: the slow ones come first, and the short ones fill what is left at the end.
    together = ["-n", workers, "--dist", "loadfile", "--no-loadscope-reorder"]
    return in_turn([*together, *(f"--ignore={path}" for path in ALONE)], ALONE)


def in_turn(*parts: Sequence[str]) -> int:
    """Runs pytest with each of these arguments, whatever became of those before. Says at the very end which tests
    failed; returns 1 if anything did.
    """
    ended: list[str] = []
    with tempfile.TemporaryDirectory() as directory:
        for number, arguments in enumerate(parts):
            report = Path(directory) / f"{number}.xml"
            status = _pytest(*arguments, f"--junitxml={report}", "-o", "junit_family=xunit1")
            if status:
                ended += [*_failed(report), f"pytest {' '.join(arguments)}: status {status}"]
    print("\n".join(["", *ended]) if ended else "\nevery test has passed", flush=True)
    return 1 if ended else 0


def _pytest(*arguments: str) -> int:
    process = subprocess.Popen([sys.executable, "-m", "pytest", *arguments])
    try:
        return process.wait()
    except KeyboardInterrupt:  # pytest has heard it too, and has brokers to stop
        process.wait()
        raise SystemExit(130) from None


def _failed(report: Path) -> list[str]:
    """As pytest would be told to run them again."""
    if not report.exists():
        return []
    cases = ElementTree.parse(report).iter("testcase")
    return [f"FAILED {_name(case)}" for case in cases if {"failure", "error"} & {part.tag for part in case}]


def _name(case: ElementTree.Element) -> str:
    file, of, name = (case.get(attribute, "") for attribute in ("file", "classname", "name"))
    inside = of.removeprefix(file.removesuffix(".py").replace("/", "."))  # a class, or nothing
    return file + inside.replace(".", "::") + f"::{name}"


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:] or [WORKERS])))
