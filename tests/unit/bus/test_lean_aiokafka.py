"""What a process that only publishes does not load, and what it can do."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from shared.bus import lean_aiokafka
lean_aiokafka.load()
from shared.bus import publishing
unwanted = ("aiokafka.consumer", "aiokafka.coordinator", "aiokafka.admin", "email", "importlib.metadata")
print([name for name in sys.modules if name.startswith(unwanted)])

import asyncio
from shared.broker.embedded import EmbeddedBroker
from shared.runtime.settings import KafkaSettings
from shared.schemas.topics import METRICS

async def publish(address):
    publisher = publishing.KafkaPublisher(KafkaSettings(bootstrap_servers=address), "test")
    await publisher.start()
    print((await publisher.publish(METRICS, "host-1", b"{}")).offset)
    await publisher.stop()

broker = EmbeddedBroker([METRICS], partitions=1)
asyncio.run(publish(broker.address))
broker.close()

import aiokafka
try:
    aiokafka.AIOKafkaConsumer("topic")
except ImportError as error:
    print(error)
"""


def test_who_only_publishes_loads_no_consumer_and_publishes() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=100)
    loaded, offset, refused = done.stdout.splitlines() or [done.stderr, "", ""]
    assert (loaded, offset) == ("[]", "0")
    assert "for publishing only" in refused
