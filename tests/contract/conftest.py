from tests.support.broker import bus
from tests.support.local_kafka import kafka_at_hand, local_kafka

__all__ = ["bus", "kafka_at_hand", "local_kafka"]
