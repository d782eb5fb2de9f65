"""``make chaos SEED=… MINUTES=…``: kill things for a while, and see that nothing is lost and nothing counts twice.

Exit status 0 if so. Where we may mount a tmpfs, the product lives on a small disk that is filled now and then. The log
and the data stay in the directory it names, for whoever wants to know more.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import secrets
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.support.chaos.disk import CannotMount, small_disk
from tests.support.chaos.run import chaos


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.chaos")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10_000), help="decides what is done when")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--hosts", type=int, default=16)
    parser.add_argument("--rate", type=float, default=80.0, help="events a second, all hosts together")
    arguments = parser.parse_args()
    # The clients here complain about every deed.
    logging.disable(logging.CRITICAL)
    home = Path(tempfile.mkdtemp(prefix="lapwing-chaos-"))
    print(f"seed {arguments.seed}, {arguments.minutes:g} minutes, in {home}", flush=True)
    with ExitStack() as stack:
        disk = None
        try:
            disk = stack.enter_context(small_disk(home))
        except CannotMount as why:
            print(f"no disk is filled: {why}", flush=True)
        report = asyncio.run(
            chaos(
                arguments.seed,
                arguments.minutes * 60,
                home,
                hosts=arguments.hosts,
                every=arguments.hosts / arguments.rate,
                disk=disk,
                say=lambda line: print(line, flush=True),
            )
        )
    print(f"\n{report}")
    for line in report.rollups_different[:5]:
        print(line)
    return 0 if report.clean else 1


if __name__ == "__main__":
    sys.exit(main())
