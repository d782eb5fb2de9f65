"""aiokafka without its consumer: nearly a megabyte that a process which only publishes has no use for."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

_CONSUMER = "aiokafka.consumer"


class _Absent(ModuleType):
    @staticmethod
    def AIOKafkaConsumer(*_: Any, **__: Any) -> None:
        raise ImportError("aiokafka was loaded for publishing only (shared/bus/lean_aiokafka.py)")


def load() -> None:
    """For a process in which nobody will ever consume. Does nothing where aiokafka is loaded already."""
    if "aiokafka" in sys.modules:
        return
    sys.modules[_CONSUMER] = _Absent(_CONSUMER)
    try:
        import aiokafka.producer  # noqa: F401
    finally:
        del sys.modules[_CONSUMER]
