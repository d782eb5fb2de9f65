from __future__ import annotations

from shared.broker.kafka_properties import server_properties


def parsed(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


def test_everything_listens_on_the_loopback() -> None:
    properties = parsed(server_properties(20001, 20002, "log", {}))
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:20001,CONTROLLER://127.0.0.1:20002"
    assert properties["advertised.listeners"] == "PLAINTEXT://127.0.0.1:20001"
    assert properties["controller.quorum.bootstrap.servers"] == "127.0.0.1:20002"


def test_one_node_waits_for_no_other() -> None:
    properties = parsed(server_properties(1, 2, "log", {}))
    factors = {name: value for name, value in properties.items() if "replication.factor" in name or "min.isr" in name}
    assert len(factors) == 5
    assert set(factors.values()) == {"1"}


def test_what_is_asked_for_wins() -> None:
    properties = parsed(server_properties(1, 2, "log", {"log.segment.bytes": "1", "new.one": "a=b"}))
    assert (properties["log.segment.bytes"], properties["new.one"]) == ("1", "a=b")
