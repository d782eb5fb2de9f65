"""What `deploy/` and docker-compose.yml say holds together: names, ports, settings, probes, privileges.

Schemas do not find a wrong selector or a misspelt setting; an API server accepts both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.compose import SERVICES
from shared.runtime import pulse
from shared.runtime import settings as settings_module
from shared.runtime.own_metrics import MEASURED

ROOT = Path(__file__).parents[3]
BASE = ROOT / "deploy" / "k8s" / "base"
SETTINGS = {variable for variable, _, _ in settings_module.describe()}
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if service["image"].startswith("lapwing:")}


def manifests() -> Iterator[dict[str, Any]]:
    for file in yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]:
        yield from yaml.safe_load_all((BASE / file).read_text())


ALL = list(manifests())
WORKLOADS = [m for m in ALL if m["kind"] in ("Deployment", "DaemonSet", "Job")]
LASTING = [m for m in WORKLOADS if m["kind"] != "Job"]
named = pytest.mark.parametrize("workload", WORKLOADS, ids=lambda m: m["metadata"]["name"])


def pod(workload: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = workload["spec"]["template"]["spec"]
    return spec


def container(workload: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod(workload)["containers"]
    return dict(only)


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {m["metadata"]["name"]: m for m in ALL if m["kind"] == kind}


def test_every_service_has_a_workload_and_both_jobs_are_there() -> None:
    assert {container(w)["args"][0] for w in LASTING} == set(SERVICES)
    assert {container(w)["args"][0] for w in WORKLOADS if w["kind"] == "Job"} == {"topics", "migrate"}


@named
def test_a_workload_finds_its_own_pods(workload: dict[str, Any]) -> None:
    labels = workload["spec"]["template"]["metadata"]["labels"]
    selector = workload["spec"].get("selector", {}).get("matchLabels", {})
    assert selector.items() <= labels.items()
    assert labels["app.kubernetes.io/name"] == workload["metadata"]["name"]


@named
def test_nobody_is_root_writes_to_its_image_or_gains_privileges(workload: dict[str, Any]) -> None:
    assert pod(workload)["securityContext"]["runAsNonRoot"] is True
    assert pod(workload)["automountServiceAccountToken"] is False
    own = container(workload)["securityContext"]
    assert own["readOnlyRootFilesystem"] is True
    assert own["allowPrivilegeEscalation"] is False
    assert own["capabilities"]["drop"] == ["ALL"]


@named
def test_what_is_mounted_is_there_and_a_host_is_only_read(workload: dict[str, Any]) -> None:
    volumes = {v["name"]: v for v in pod(workload)["volumes"]}
    mounts = container(workload)["volumeMounts"]
    assert {m["name"] for m in mounts} == volumes.keys()
    for mount in mounts:
        if "hostPath" in volumes[mount["name"]]:
            assert mount["readOnly"] is True


@named
def test_memory_is_bounded_and_what_is_needed_is_said(workload: dict[str, Any]) -> None:
    resources = container(workload)["resources"]
    assert {"cpu", "memory"} <= resources["requests"].keys()
    assert "memory" in resources["limits"]


@named
def test_its_settings_exist_and_its_maps_are_there(workload: dict[str, Any]) -> None:
    maps = of_kind("ConfigMap")
    for source in container(workload)["envFrom"]:
        if "configMapRef" in source:
            assert source["configMapRef"]["name"] in maps
    assert {e["name"] for e in container(workload).get("env", [])} <= SETTINGS
    for config in maps.values():
        assert config["data"].keys() <= SETTINGS
    example = yaml.safe_load((BASE / "secret.example.yaml").read_text())
    assert example["stringData"].keys() <= SETTINGS


def test_an_agent_is_told_of_no_database() -> None:
    agent = next(w for w in LASTING if container(w)["args"] == ["agent"])
    assert "lapwing-store" not in str(container(agent)["envFrom"])


@pytest.mark.parametrize("workload", LASTING, ids=lambda m: m["metadata"]["name"])
def test_a_probe_looks_at_the_progress_of_its_own_service(workload: dict[str, Any]) -> None:
    own = container(workload)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        if own["args"] == ["api"]:
            assert own[probe]["httpGet"]["path"] in ("/healthz", "/readyz")
            assert own[probe]["httpGet"]["port"] in {p["name"] for p in own["ports"]}
        else:
            command = own[probe]["exec"]["command"][-1]
            assert str(pulse.file_of(Path("/var/lib/lapwing"), own["args"][0])) in command
            assert f"-lt {pulse.STALE_AFTER:.0f}" in command


@pytest.mark.parametrize("name", MEASURED)
def test_who_serves_its_own_metrics_says_where(name: str) -> None:
    bus = of_kind("ConfigMap")["lapwing-bus"]["data"]
    port = int(bus["LAPWING_METRICS__PORT"]) + MEASURED.index(name)
    workload = of_kind("Deployment")[f"lapwing-{name}"]
    assert {"configMapRef": {"name": "lapwing-bus"}} in container(workload)["envFrom"]
    assert container(workload)["ports"] == [{"name": "metrics", "containerPort": port}]
    asked = workload["spec"]["template"]["metadata"]["annotations"]
    assert asked == {"prometheus.io/scrape": "true", "prometheus.io/port": str(port)}


def test_the_service_leads_to_the_apis_port() -> None:
    (service,) = of_kind("Service").values()
    api = of_kind("Deployment")["lapwing-api"]
    assert service["spec"]["selector"].items() <= api["spec"]["template"]["metadata"]["labels"].items()
    assert service["spec"]["ports"][0]["targetPort"] in {p["name"] for p in container(api)["ports"]}


def test_compose_runs_every_service_and_each_waits_for_its_needs() -> None:
    commands = {service["command"][0] for service in OURS.values()}
    assert commands == {*SERVICES, "topics", "migrate"}
    for name, service in OURS.items():
        for other, need in service["depends_on"].items():
            healthy = need["condition"] == "service_healthy"
            assert healthy == (other not in OURS), f"{name} waits for {other}"
            assert not healthy or "healthcheck" in COMPOSE["services"][other]


def test_compose_knows_every_setting_it_sets() -> None:
    for service in OURS.values():
        assert service["environment"].keys() <= SETTINGS
    example = (ROOT / ".env.example").read_text()
    given = set(re.findall(r"^#? ?([A-Z_]+)=", example, re.M))
    asked = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))
    assert given - {"COMPOSE_PROJECT_NAME"} <= asked  # that one is for docker compose itself
    required = set(re.findall(r"\$\{([A-Z_]+):\?", (ROOT / "docker-compose.yml").read_text()))
    assert required
    assert required <= given


def test_composed_services_may_not_write_to_their_image_and_their_memory_is_bounded() -> None:
    for service in OURS.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        if service["command"][0] in SERVICES:
            assert "memory" in service["deploy"]["resources"]["limits"]


def test_the_image_is_made_from_locks_and_runs_as_nobody_special() -> None:
    dockerfile = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
    assert "--require-hashes -r requirements-${EXTRA}.lock" in dockerfile
    for extra in ("agent", "server"):
        assert (ROOT / f"requirements-{extra}.lock").is_file()
    assert re.search(r"^USER 10001", dockerfile, re.M)
    assert f"-lt {pulse.STALE_AFTER:.0f}" in dockerfile
