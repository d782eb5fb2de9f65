"""``lapwing``, also ``python -m services``: reads the command line and the settings, then hands over."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from services import commands
from shared.bus.port import BusError
from shared.runtime import logs, settings
from shared.runtime.data_dir import DataDirError
from shared.runtime.lifecycle import ServiceDied
from shared.runtime.settings import SettingsError
from shared.store.port import StoreError

BAD_INPUT = 2
DIED = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command. Exit status: 0 done, 1 something died, 2 bad input; both with one clear line."""
    arguments = commands.parser().parse_args(argv)
    serves = getattr(arguments, "serves", False)
    if serves:
        _leave_when_asked()
    try:
        config = settings.load()
        # A command that answers and ends says so itself.
        logs.setup(config.log.level if serves or config.log.level == "debug" else "warning", config.log.format)
        return int(arguments.run(config, arguments) or 0)
    except (SettingsError, DataDirError, commands.UsageError) as error:
        return _complain(str(error), BAD_INPUT)
    except (ServiceDied, BusError, StoreError) as error:
        return _complain(str(error), DIED)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0


def _leave_when_asked() -> None:
    """Until the runner owns the signals there is nothing to stop: whoever asks now is obeyed at once."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))


def _complain(message: str, status: int) -> int:
    for line in message.splitlines():
        print(f"lapwing: {line}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
