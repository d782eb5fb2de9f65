"""``python -m shared.broker``: fetch what ``local://`` needs, so that it starts without a network later.

Exit status 1, with one line that says why, when it cannot be had.
"""

from __future__ import annotations

import sys

from shared.broker.embedded import BrokerError
from shared.broker.jars import cache_dir, kafka_jars
from shared.broker.java import find_java
from shared.runtime import logs


def main() -> int:
    logs.setup("info", "text")
    try:
        find_java()
        kafka_jars(cache_dir())
    except BrokerError as error:
        print(f"NO APACHE KAFKA: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
