"""What our own Apache Kafka is told: one node that is broker and controller, on the loopback only."""

from __future__ import annotations

from collections.abc import Mapping

JVM = (
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
)
"""A third less memory and a quicker start than with the defaults, at no cost one machine would notice."""


def server_properties(port: int, controller_port: int, log_dir: str, extra: Mapping[str, str]) -> str:
    """The text of ``server.properties``. ``log_dir`` is relative to Kafka's working directory, whose own name may hold
    what this format could not. ``extra`` wins.
    """
    properties = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": log_dir,
        "auto.create.topics.enable": "false",
        # One node holds every replica there is; with the defaults groups and transactions would wait for three.
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        # Retention removes whole segments; small ones keep a partition near its limit.
        "log.segment.bytes": str(128 << 20),
        # There is no second replica: after a power cut at most this much is missing.
        "log.flush.interval.ms": "1000",
        "log.flush.scheduler.interval.ms": "1000",
        "log.cleaner.dedupe.buffer.size": str(16 << 20),
        # After a kill the controller, which remembers the dead broker, makes the new one wait for as long.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "1000",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "4",
    }
    return "".join(f"{name}={value}\n" for name, value in {**properties, **extra}.items())
