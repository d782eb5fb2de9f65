"""`deploy/k8s/base` on a real kube-apiserver: it takes every object, for good, and it would refuse a wrong one.

Whether names, selectors and settings fit each other: `tests/unit/deploy/test_manifests.py`, on every run.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.runtime import settings as settings_module
from tests.support.kube_apiserver import ApiServer

pytestmark = pytest.mark.timeout(1800)  # the first run builds Kubernetes

BASE = Path(__file__).parents[2] / "deploy" / "k8s" / "base"
SETTINGS = {variable for variable, _, _ in settings_module.describe()}
KINDS = "namespaces,configmaps,services,daemonsets.apps,deployments.apps,jobs.batch"
APPLY = ("apply", "--server-side", "--validate=strict", "--warnings-as-errors")

Object = dict[str, Any]
Key = tuple[str, str]


def key(item: Object) -> Key:
    return item["kind"], item["metadata"]["name"]


@pytest.fixture(scope="module")
def said(apiserver: ApiServer) -> list[str]:
    """What kubectl said when the base was applied, line by line. Whoever asks for it finds the base applied."""
    done = apiserver.kubectl(*APPLY, "-k", str(BASE))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.fixture
def stored(apiserver: ApiServer, said: list[str]) -> dict[Key, Object]:
    return stored_by(apiserver)


def stored_by(apiserver: ApiServer) -> dict[Key, Object]:
    items = apiserver.ask("get", KINDS, "--all-namespaces", "-l", "app.kubernetes.io/part-of=lapwing")["items"]
    return {key(item): item for item in items}


def workloads(stored: dict[Key, Object]) -> list[Object]:
    return [item for (kind, _), item in stored.items() if kind in ("DaemonSet", "Deployment", "Job")]


def pod(workload: Object) -> Object:
    spec: Object = workload["spec"]["template"]["spec"]
    return spec


def container(workload: Object) -> Object:
    (only,) = pod(workload)["containers"]
    return dict(only)


def rendered(apiserver: ApiServer, directory: Path = BASE) -> list[Object]:
    done = apiserver.kubectl("kustomize", str(directory))
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def test_every_object_is_taken_and_nothing_is_remarked(
    apiserver: ApiServer, said: list[str], stored: dict[Key, Object]
) -> None:
    wanted = {key(item) for item in rendered(apiserver)}
    assert len(wanted) > 8
    assert stored.keys() == wanted
    assert [line for line in said if not line.endswith(" serverside-applied")] == []
    assert len(said) == len(wanted)


def test_applying_it_again_changes_nothing(apiserver: ApiServer, stored: dict[Key, Object]) -> None:
    again = apiserver.kubectl(*APPLY, "-k", str(BASE))
    assert (again.returncode, again.stderr) == (0, "")
    versions = {name: item["metadata"]["resourceVersion"] for name, item in stored.items()}
    assert {name: item["metadata"]["resourceVersion"] for name, item in stored_by(apiserver).items()} == versions


def test_nothing_that_was_written_is_lost_or_changed(apiserver: ApiServer, stored: dict[Key, Object]) -> None:
    for item in rendered(apiserver):
        for part in item.keys() & {"spec", "data"}:
            assert_within(item[part], stored[key(item)].get(part), f"{key(item)} {part}")


def assert_within(written: object, kept: object, where: str) -> None:
    """The server adds defaults, and writes quantities in its own way (``1Gi`` stays)."""
    if isinstance(written, dict):
        for name, value in written.items():
            assert isinstance(kept, dict) and (name in kept or value in ({}, None)), f"{where}.{name} is gone"
            assert_within(value, kept.get(name, value), f"{where}.{name}")
    elif isinstance(written, list):
        assert isinstance(kept, list) and len(kept) == len(written), where
        for number, value in enumerate(written):
            assert_within(value, kept[number], f"{where}[{number}]")
    else:
        assert kept == written, where


def test_the_agent_reads_its_host_and_cannot_write_there(stored: dict[Key, Object]) -> None:
    agent = stored["DaemonSet", "lapwing-agent"]
    hosts = [v["name"] for v in pod(agent)["volumes"] if "hostPath" in v]
    mounts = [m for m in container(agent)["volumeMounts"] if m["name"] in hosts]
    assert [(m["mountPath"], m["readOnly"]) for m in mounts] == [("/host", True)]
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        assert not pod(agent).get(name)
    assert not any("hostPath" in v for w in workloads(stored) if w is not agent for v in pod(w)["volumes"])


def test_as_stored_nobody_is_root_or_has_a_token_and_all_say_what_they_need(stored: dict[Key, Object]) -> None:
    assert len(workloads(stored)) > 5
    for workload in workloads(stored):
        own = container(workload)
        assert pod(workload)["securityContext"]["runAsNonRoot"] is True
        assert pod(workload)["automountServiceAccountToken"] is False
        assert own["securityContext"]["allowPrivilegeEscalation"] is False
        assert {"cpu", "memory"} <= own["resources"]["requests"].keys()
        assert {e["name"] for e in own.get("env", [])} <= SETTINGS
        if workload["kind"] != "Job":
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= own.keys()
    for (kind, _), item in stored.items():
        if kind == "ConfigMap":
            assert item["data"].keys() <= SETTINGS


def test_the_example_of_a_secret_is_one_and_sets_what_exists(apiserver: ApiServer, said: list[str]) -> None:
    kept = apiserver.ask(*APPLY, "--dry-run=server", "-f", str(BASE / "secret.example.yaml"))
    assert kept["kind"] == "Secret"
    assert kept["data"].keys() <= SETTINGS


def test_after_a_release_only_jobs_that_are_still_there_stand_in_the_way(
    apiserver: ApiServer, said: list[str], tmp_path: Path
) -> None:
    shutil.copytree(BASE, tmp_path / "base")
    overlay = {"resources": ["base"], "images": [{"name": "lapwing", "newName": "example.org/lapwing", "newTag": "2"}]}
    (tmp_path / "kustomization.yaml").write_text(json.dumps(overlay))
    release = (*APPLY, "--dry-run=server", "-k", str(tmp_path))
    refused = apiserver.kubectl(*release).stderr.splitlines()
    assert {line.split('"')[1] for line in refused} == {"lapwing-topics", "lapwing-schema"}
    assert all(line.endswith("field is immutable") for line in refused)
    try:
        gone = apiserver.kubectl("delete", "jobs", "--all", "-n", "lapwing")
        assert gone.returncode == 0, gone.stderr
        done = apiserver.kubectl(*release)
        assert (done.returncode, done.stderr) == (0, "")
    finally:
        apiserver.kubectl(*APPLY, "-k", str(BASE))


# -- who may run where: a workload is only warned of, its pods would be refused --------------------------------------


def pod_of(workload: Object) -> str:
    """Its pod, as a controller would make it."""
    name, namespace = workload["metadata"]["name"], workload["metadata"]["namespace"]
    meta = {"name": name, "namespace": namespace, "labels": workload["spec"]["template"]["metadata"]["labels"]}
    spec = {"restartPolicy": "Always", **pod(workload)}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})


def test_every_pod_may_run_in_its_namespace(apiserver: ApiServer, stored: dict[Key, Object]) -> None:
    for workload in workloads(stored):
        made = apiserver.kubectl(
            "create", "--dry-run=server", "--warnings-as-errors", "-f", "-", stdin=pod_of(workload)
        )
        assert (made.returncode, made.stderr) == (0, ""), workload["metadata"]["name"]


# -- a wrong one is refused: the tests above can fail ----------------------------------------------------------------


def spoil(change: Callable[[str], str], file: str, into: Path) -> Path:
    """A copy of the base with one file changed."""
    shutil.copytree(BASE, into)
    before = (into / file).read_text()
    after = change(before)
    assert after != before
    (into / file).write_text(after)
    return into


@pytest.mark.parametrize(
    ("file", "right", "wrong", "complaint"),
    [
        ("api.yaml", "replicas: 2", "replicaz: 2", "replicaz: field not declared in schema"),
        ("api.yaml", "containerPort: 8000", "containerPort: 80000", "must be between 1 and 65535"),
        ("api.yaml", "port: 80,", "port: eighty,", "ports"),
        ("agent.yaml", "readOnly: true,", "readonly: true,", "readonly: field not declared in schema"),
        ("agent.yaml", "name: host, mountPath", "name: hosts, mountPath", 'Not found: "hosts"'),
        ("ingest.yaml", "memory: 1Gi", "memory: 1 GB", "quantities must match"),
        ("detector.yaml", "matchLabels: { app.kubernetes.io/name: lapwing-detector }",
         "matchLabels: { app.kubernetes.io/name: lapwing-ingest }", "`selector` does not match template `labels`"),
        ("jobs.yaml", "restartPolicy: OnFailure", "restartPolicy: Always", "restartPolicy"),
        ("settings.yaml", 'PARTITIONS: "12"', "PARTITIONS: 12", "PARTITIONS"),
    ],
)  # fmt: skip
def test_a_wrong_one_is_refused(
    apiserver: ApiServer, said: list[str], tmp_path: Path, file: str, right: str, wrong: str, complaint: str
) -> None:
    spoiled = spoil(lambda text: text.replace(right, wrong), file, tmp_path / "base")
    done = apiserver.kubectl(*APPLY, "--dry-run=server", "-k", str(spoiled))
    assert done.returncode != 0
    assert complaint in done.stderr
