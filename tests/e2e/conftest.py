from tests.support.local_kafka import kafka_at_hand

__all__ = ["kafka_at_hand"]
