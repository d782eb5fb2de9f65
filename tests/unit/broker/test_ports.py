from __future__ import annotations

import socket
from pathlib import Path

import pytest

from shared.broker.ports import is_free, two_ports


def test_they_are_free_different_and_the_same_the_next_time(tmp_path: Path) -> None:
    first, second = two_ports(tmp_path / "ports")
    assert first != second
    assert is_free(first)
    assert is_free(second)
    assert two_ports(tmp_path / "ports") == (first, second)


@pytest.mark.parametrize("which", [0, 1])
def test_when_one_is_taken_both_are_chosen_anew_and_remembered(tmp_path: Path, which: int) -> None:
    before = two_ports(tmp_path / "ports")
    with socket.create_server(("127.0.0.1", before[which])):
        after = two_ports(tmp_path / "ports")
        assert not set(after) & {before[which]}
    assert two_ports(tmp_path / "ports") == after


def test_when_it_is_ourselves_who_listen_they_stay(tmp_path: Path) -> None:
    before = two_ports(tmp_path / "ports")
    with socket.create_server(("127.0.0.1", before[0])):
        assert two_ports(tmp_path / "ports", ours=lambda: True) == before


@pytest.mark.parametrize("text", ["", "20000", "20000 20000", "80 20001", "20000 99999", "one two", "1 2 3"])
def test_a_memory_that_makes_no_sense_is_not_followed(tmp_path: Path, text: str) -> None:
    memory = tmp_path / "ports"
    memory.write_text(text)
    ports = two_ports(memory)
    assert memory.read_text().split() == [str(port) for port in ports]
    assert all(20_000 <= port < 32_000 for port in ports)
