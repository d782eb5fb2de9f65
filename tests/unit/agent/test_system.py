"""Section system, and who this host is."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest

from services.agent.collectors.system import SystemCollector, host_name, parse_boot_time, parse_os_release
from services.agent.identity import identify, kept_id, parse_machine_id
from services.agent.paths import HostPaths, host_paths
from shared.runtime.settings import AgentSettings

MACHINE_ID = "3d1219c7c4c5404aaa1f6d2a48adfda4"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ('NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n', "Debian GNU/Linux 12 (bookworm)"),
        ("PRETTY_NAME='Alpine Linux v3.20'", "Alpine Linux v3.20"),
        ('PRETTY_NAME="never closed', "never closed"),
        ("NAME=Arch", ""),
        ("", ""),
    ],
)
def test_the_name_of_the_system(content: str, name: str) -> None:
    assert parse_os_release(content) == name


def test_boot_time() -> None:
    assert parse_boot_time(b"cpu 1\nctxt 5\nbtime 1795231895\nprocesses 1\n") == 1_795_231_895_000
    assert parse_boot_time(b"cpu 1\n") is None


def _host(root: Path) -> HostPaths:
    (root / "etc").mkdir(exist_ok=True)
    (root / "proc").mkdir(exist_ok=True)
    return host_paths(AgentSettings(root=root))


def test_in_a_container_the_host_has_its_own_name(tmp_path: Path) -> None:
    paths = _host(tmp_path)
    (tmp_path / "etc" / "hostname").write_text("web-3\n")
    (tmp_path / "etc" / "os-release").write_text('PRETTY_NAME="Host OS 1"\n')
    (tmp_path / "proc" / "stat").write_text("cpu 1\nbtime 1700000000\n")
    section = SystemCollector(paths).collect(1.0)
    assert (section["hostname"], section["os"], section["boot_time"]) == ("web-3", "Host OS 1", 1_700_000_000_000)
    assert host_name(HostPaths()) == socket.gethostname()


def test_paths_follow_the_root_unless_they_are_given() -> None:
    assert host_paths(AgentSettings()) == HostPaths("/", "/proc", "/sys")
    assert not host_paths(AgentSettings()).contained
    inside = host_paths(AgentSettings(root=Path("/host"), sys=Path("/elsewhere")))
    assert inside == HostPaths("/host", "/host/proc", "/elsewhere")
    assert inside.contained
    assert inside.under_root("/") == "/host"
    assert inside.under_root("/etc") == "/host/etc"


def test_with_the_hosts_proc_alone_its_first_process_shows_the_way_to_its_root(tmp_path: Path) -> None:
    (tmp_path / "the-host" / "etc").mkdir(parents=True)
    (tmp_path / "the-host" / "etc" / "hostname").write_text("web-3\n")
    (tmp_path / "the-host" / "etc" / "machine-id").write_text(MACHINE_ID)
    (tmp_path / "proc" / "1").mkdir(parents=True)
    settings = AgentSettings(proc=tmp_path / "proc")
    assert host_paths(settings) == HostPaths("/", str(tmp_path / "proc"), "/sys"), "there is none that may be entered"
    (tmp_path / "proc" / "1" / "root").symlink_to(tmp_path / "the-host")
    paths = host_paths(settings)
    assert (host_name(paths), identify(settings, paths, tmp_path).host_id) == ("web-3", MACHINE_ID)


@pytest.mark.parametrize("content", ["", "uninitialized\n", "0" * 32, "xyz", MACHINE_ID[:-1]])
def test_what_images_are_shipped_with_is_no_machine_id(content: str) -> None:
    assert parse_machine_id(content) is None


def test_the_machine_id_is_the_hosts_and_a_setting_wins(tmp_path: Path) -> None:
    paths = _host(tmp_path)
    (tmp_path / "etc" / "machine-id").write_text(MACHINE_ID + "\n")
    assert identify(AgentSettings(), paths, tmp_path).host_id == MACHINE_ID
    assert identify(AgentSettings(host_id="db-primary"), paths, tmp_path).host_id == "db-primary"


def test_without_etc_the_bus_knows(tmp_path: Path) -> None:
    paths = _host(tmp_path)
    (tmp_path / "var/lib/dbus").mkdir(parents=True)
    (tmp_path / "var/lib/dbus/machine-id").write_text(MACHINE_ID.upper())
    assert identify(AgentSettings(), paths, tmp_path).host_id == MACHINE_ID


def test_a_machine_without_an_id_is_given_one_that_stays(tmp_path: Path) -> None:
    paths = _host(tmp_path)
    first = identify(AgentSettings(), paths, tmp_path).host_id
    assert parse_machine_id(first) == first
    assert identify(AgentSettings(), paths, tmp_path).host_id == first


def test_an_id_that_cannot_be_kept_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert parse_machine_id(kept_id(tmp_path / "no" / "such" / "directory"))
    assert "cannot keep the host id" in caplog.text


def test_the_name_is_a_label_that_may_change(tmp_path: Path) -> None:
    paths = _host(tmp_path)
    (tmp_path / "etc" / "hostname").write_text("before\n")
    identity = identify(AgentSettings(host_id="x"), paths, tmp_path)
    assert identity.name() == "before"
    (tmp_path / "etc" / "hostname").write_text("after\n")
    assert identity.name() == "after"
    assert identify(AgentSettings(host="mine"), paths, tmp_path).name() == "mine"
