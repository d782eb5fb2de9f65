#!/opt/lapwing/bin/python
"""Whether the broker at ``--bootstrap-server`` answers."""

import asyncio
import sys

from aiokafka.client import AIOKafkaClient


async def main() -> None:
    client = AIOKafkaClient(bootstrap_servers=sys.argv[2])
    try:
        await client.bootstrap()
        print(client.cluster.brokers())
    finally:
        await client.close()


asyncio.run(main())
