"""An embedded broker for a test: ``with embedded_broker() as settings: …``, or as the fixture ``broker``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shared.broker.embedded import EmbeddedBroker
from shared.runtime.settings import Settings
from shared.schemas.topics import ALL_TOPICS, Topic


@contextmanager
def embedded_broker(topics: Sequence[Topic] = ALL_TOPICS, *, partitions: int = 2) -> Iterator[EmbeddedBroker]:
    """Empty, with ``topics``; gone afterwards with all it held."""
    broker = EmbeddedBroker(topics, partitions=partitions)
    try:
        yield broker
    finally:
        broker.close()


def settings_for(address: str, data_dir: Path, **sections: dict[str, object]) -> Settings:
    """Settings that name the broker at ``address``: ``settings_for(broker.address, tmp_path, ingest={…})``."""
    kafka = {"bootstrap_servers": address, **sections.pop("kafka", {})}
    return Settings.model_validate({"data_dir": data_dir, "kafka": kafka, **sections})
