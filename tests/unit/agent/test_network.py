"""Section network."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.agent.collectors.base import Rest
from services.agent.collectors.network import LINK_EVERY, NetworkCollector, interfaces, parse_interface, parse_link
from services.agent.paths import HostPaths
from services.agent.procfile import KnownLines

HEAD = b"Inter-|   Receive  |  Transmit\n face |bytes    packets errs drop |bytes    packets errs drop\n"
ETH0 = b"  eth0: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0\n"


def parsed(data: bytes) -> dict[str, dict[str, int]]:
    return KnownLines(parse_interface).parse(interfaces(data))


def test_counters_by_interface() -> None:
    assert parsed(HEAD + ETH0)["eth0"] == {
        "bytes_sent": 2000,
        "bytes_recv": 1000,
        "packets_sent": 20,
        "packets_recv": 10,
        "errors_in": 1,
        "errors_out": 3,
        "drops_in": 2,
        "drops_out": 4,
    }


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b"eth0:1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0\n", "eth0"),  # old kernels: number and colon touch
        (b"eth0:1: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0\n", "eth0:1"),  # an alias
        (b" caf\xe9: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0\n", "caf\ufffd"),
    ],
)
def test_odd_names(line: bytes, name: str) -> None:
    assert parsed(HEAD + line)[name]["bytes_recv"] == 1000


def test_lines_that_are_cut_off_are_passed_over() -> None:
    assert parsed(HEAD + b"  eth0: 1000 10\n\n") == {}
    assert parsed(b"") == {}


@pytest.mark.parametrize(
    ("operstate", "speed", "link"),
    [
        ("up", "1000", {"is_up": True, "speed_mbps": 1000}),
        ("down", "-1", {"is_up": False}),
        ("unknown", "", {"is_up": True}),
        ("up", "4294967295", {"is_up": True}),
        ("", "", {"is_up": True}),
    ],
)
def test_links(operstate: str, speed: str, link: dict[str, object]) -> None:
    assert parse_link(operstate, speed) == link


def _host(tmp_path: Path, content: bytes) -> HostPaths:
    proc = tmp_path / "proc"
    (proc / "1" / "net").mkdir(parents=True, exist_ok=True)
    (proc / "1" / "net" / "dev").write_bytes(content)
    (tmp_path / "sys" / "class" / "net" / "eth0").mkdir(parents=True, exist_ok=True)
    (tmp_path / "sys" / "class" / "net" / "eth0" / "operstate").write_text("down\n")
    return HostPaths(str(tmp_path), str(proc), str(tmp_path / "sys"))


def test_in_a_container_the_hosts_interfaces_are_those_of_its_init(tmp_path: Path) -> None:
    (eth0,) = NetworkCollector(_host(tmp_path, HEAD + ETH0)).collect(1.0)
    assert eth0["interface"] == "eth0"
    assert eth0["is_up"] is False


def test_rates_and_an_interface_that_goes_and_returns(tmp_path: Path) -> None:
    paths = _host(tmp_path, HEAD + ETH0)
    collector = NetworkCollector(paths)
    collector.collect(1.0)
    _host(tmp_path, HEAD + ETH0.replace(b": 1000", b": 5000"))
    (eth0,) = collector.collect(3.0)
    assert (eth0["recv_bytes_per_s"], eth0["sent_bytes_per_s"]) == (2000.0, 0.0)
    (eth0,) = collector.collect(3.5)
    assert (eth0["bytes_recv"], eth0["recv_bytes_per_s"]) == (5000, 0.0)
    _host(tmp_path, HEAD)
    assert collector.collect(4.0) == []
    _host(tmp_path, HEAD + ETH0.replace(b": 1000", b": 9000"))
    (eth0,) = collector.collect(5.0)
    assert eth0["recv_bytes_per_s"] == 0.0


def test_only_a_look_at_the_link_may_wait(tmp_path: Path) -> None:
    """Its speed is asked of its driver."""
    collector = NetworkCollector(_host(tmp_path, HEAD + ETH0))
    assert isinstance(collector.begin(1.0), Rest)
    collector.collect(1.0)
    assert isinstance(collector.begin(2.0), list)
    _host(tmp_path, HEAD + ETH0 + ETH0.replace(b"eth0", b"eth1"))
    assert isinstance(collector.begin(3.0), Rest), "a new one"
    assert len(collector.collect(3.0)) == 2
    assert isinstance(collector.begin(4.0), list)
    assert isinstance(collector.begin(4.0 + LINK_EVERY), Rest)
