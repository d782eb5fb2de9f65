"""What is collected, how often, and what must not keep the others waiting."""

from __future__ import annotations

from services.agent import plan
from services.agent.paths import HostPaths
from shared.runtime.settings import AgentSettings
from shared.schemas.sample import HostSample


def test_every_section_of_the_schema_has_its_collector_and_interval() -> None:
    settings = AgentSettings(interval=2.0, processes_interval=10.0, disks_interval=30.0, gpu_interval=1.0)
    probes = {p.section: p for p in plan.planned(settings, plan.collectors(settings, HostPaths()))}
    envelope = {"schema_version", "kind", "event_id", "ts", "host_id", "host", "labels", "seq", "run", "agent"}
    assert set(probes) == set(HostSample.model_fields) - envelope
    assert {name for name, p in probes.items() if p.background} == {"disks", "gpus", "temperatures", "system"}
    assert {name: p.every for name, p in probes.items() if p.every > 1} == {
        "processes": 5,
        "disks": 15,
        "temperatures": 8,
        "system": 30,
    }
    assert probes["gpus"].every == 1, "no section comes more often than a tick"
