"""The usual soft limit on open files is too low for a store, a broker and listeners in one process."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import resource
from shared.runtime.descriptors import allow_enough, descriptors_allowed
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
allow_enough()
print(descriptors_allowed(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def limits(soft: int, hard: int) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(soft=soft, hard=hard)], capture_output=True, text=True, check=True
    )
    return [int(n) for n in done.stdout.split()]


def test_the_soft_limit_goes_up_as_far_as_the_hard_one_lets_it() -> None:
    assert limits(256, 700) == [700, 700]


def test_a_limit_that_is_high_enough_stays() -> None:
    assert limits(700, 700) == [700, 700]
