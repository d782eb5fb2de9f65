"""A kube-apiserver of our own on an etcd of its own: it takes and refuses objects as in a cluster, and nobody acts on
them; there are no controllers, nodes or pods. Neither outlives the process that started it.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.broker import leash
from shared.broker.ports import two_ports
from tests.support.tls import authority

READY_WITHIN = 60.0  # seconds; 3 to 5 on a quiet machine


@dataclass(frozen=True)
class ApiServer:
    """``directory`` holds its logs; ``pids``: of etcd and of kube-apiserver."""

    directory: Path
    programs: Path
    pids: tuple[int, int]

    def kubectl(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """As its administrator, with nobody's own configuration."""
        command = [str(self.programs / "kubectl"), f"--kubeconfig={self.directory / 'kubeconfig'}", *words]
        return subprocess.run(
            command, input=stdin, env=_environment(self.directory), capture_output=True, text=True, timeout=60
        )

    def ask(self, *words: str) -> dict[str, Any]:
        """What it answers in JSON; an ``AssertionError`` with kubectl's words where it refuses."""
        done = self.kubectl(*words, "-o", "json")
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


@contextmanager
def api_server(programs: Path, directory: Path) -> Iterator[ApiServer]:
    """Ready from here on, gone afterwards. To be entered on a thread that lives as long. ``directory`` must be new."""
    directory.mkdir(parents=True, exist_ok=True)
    etcd_port, port = two_ports(directory / "ports")
    etcd = f"http://127.0.0.1:{etcd_port}"
    token = secrets.token_urlsafe(16)
    key = authority(directory / "key").key
    (directory / "tokens").write_text(f"{token},admin,1,system:masters\n")
    # Its certificate is made by kube-apiserver itself.
    (directory / "kubeconfig").write_text(_kubeconfig(port, directory / "certificates" / "apiserver.crt", token))
    with ExitStack() as running:
        keeper = running.enter_context(
            _running(
                directory,
                programs / "etcd",
                {
                    "data-dir": directory / "etcd",
                    "listen-client-urls": etcd,
                    "advertise-client-urls": etcd,
                    "listen-peer-urls": "http://127.0.0.1:0",
                    "unsafe-no-fsync": "true",
                    "log-level": "warn",
                },
            )
        )
        server = running.enter_context(
            _running(
                directory,
                programs / "kube-apiserver",
                {
                    "etcd-servers": etcd,
                    "bind-address": "127.0.0.1",
                    "secure-port": port,
                    "cert-dir": directory / "certificates",
                    "endpoint-reconciler-type": "none",
                    "service-account-issuer": "https://kubernetes.default.svc",
                    "service-account-key-file": key,
                    "service-account-signing-key-file": key,
                    "token-auth-file": directory / "tokens",
                    "authorization-mode": "RBAC",
                    # It refuses pods until a controller has made their service account.
                    "disable-admission-plugins": "ServiceAccount",
                },
            )
        )
        apiserver = ApiServer(directory, programs, (keeper.pid, server.pid))
        _until_ready(apiserver, (keeper, server))
        yield apiserver


@contextmanager
def _running(directory: Path, program: Path, flags: Mapping[str, object]) -> Iterator[subprocess.Popen[bytes]]:
    command = [str(program), *(f"--{name}={value}" for name, value in flags.items())]
    with (directory / f"{program.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *command],
            cwd=directory,
            env=_environment(directory),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()  # what it holds is thrown away
        process.wait()


def _until_ready(apiserver: ApiServer, processes: Sequence[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while (asked := apiserver.kubectl("get", "--raw=/readyz")).returncode:
        died = [process.args for process in processes if process.poll() is not None]
        assert not died and time.monotonic() < deadline, (
            f"kube-apiserver is not ready: {asked.stderr.strip()[-300:]}; ended: {died}; see {apiserver.directory}"
        )
        time.sleep(0.1)


def _environment(home: Path) -> dict[str, str]:
    return {"PATH": os.defpath, "HOME": str(home)}


def _kubeconfig(port: int, certificate: Path, token: str) -> str:
    """JSON is YAML."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "clusters": [
                {
                    "name": "test",
                    "cluster": {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(certificate)},
                }
            ],
            "users": [{"name": "admin", "user": {"token": token}}],
        }
    )
