"""Runs a command that dies with the process that started it, however that dies: ``leash.py PARENT COMMAND …``.

A program of its own, because between fork and exec of a process with threads no Python may run. What it sets survives
exec. The kernel takes the *thread* that started the command for its parent: start it from one that stays.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(sys.argv[1]):  # it died before the line above
        sys.exit("the parent is gone")
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606


if __name__ == "__main__":
    main()
