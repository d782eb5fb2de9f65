"""What a user of a Kafka may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, order=True)
class Right:
    """``Right("topic", "lapwing.metrics.v1", "WRITE")``; in Kafka, READ and WRITE bring DESCRIBE with them."""

    kind: Literal["topic", "group"]
    name: str
    operation: Literal["READ", "WRITE", "CREATE", "DESCRIBE"]

    def __str__(self) -> str:
        return f"{self.operation} on the {self.kind} {self.name}"
