"""``lapwing`` with a stand-in for the store's front: ``python -m tests.support.chaos.standing_in up --processes``."""

from __future__ import annotations

import sys

from services.supervise import product
from services.supervise.member import Member


def _stand_in() -> None:
    usual = product._member

    def member(name: str, *rest: object) -> Member:
        made = usual(name, *rest)
        if name == "store":
            made._command = [sys.executable, "-m", "tests.support.chaos.store_front"]
        return made

    product._member = member


if __name__ == "__main__":
    _stand_in()
    from services.__main__ import main

    sys.exit(main(sys.argv[1:]))
