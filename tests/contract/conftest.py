from tests.support.broker import bus
from tests.support.local_kafka import kafka_at_hand, local_kafka
from tests.support.secured_kafka import secured_kafka

__all__ = ["bus", "kafka_at_hand", "local_kafka", "secured_kafka"]
