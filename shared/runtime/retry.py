"""Waiting between attempts: exponential, bounded, cut at random by up to half. The loop stays with who retries."""

from __future__ import annotations

import random
from collections.abc import Iterator


def backoff(first: float = 0.2, factor: float = 2.0, most: float = 10.0) -> Iterator[float]:
    """Seconds to wait before the second, third, … attempt; endless."""
    delay = first
    while True:
        yield delay * random.uniform(0.5, 1.0)
        delay = min(most, delay * factor)
