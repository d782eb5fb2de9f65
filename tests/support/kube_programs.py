"""kube-apiserver, the etcd below it and kubectl, built from their Go modules once and then used from a cache.

``python -m tests.support.kube_programs`` builds them ahead of the first test. What is fetched is checked by Go itself.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from shared.broker.jars import cache_dir

VERSION = "1.34.4"
_NAME = f"k8s-{VERSION}"
_KUBERNETES = f"k8s.io/kubernetes@v{VERSION}"
_PACKAGES = {
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "etcd": "go.etcd.io/etcd/server/v3",  # the very version that kube-apiserver is built with
}


class NotAtHand(Exception):
    """Says what is missing, in one line."""


def kube_programs(cache: Path | None = None) -> Path:
    """The directory with the three programs. Blocks: the first time for about ten minutes on two cores, and that needs
    the network, a Go and 4 GB of disk for its caches. Raises ``NotAtHand``.
    """
    cache = cache or cache_dir()
    place = cache / _NAME
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{_NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # who comes second waits, and finds them there
        if not place.is_dir():
            _build(place)
    return place


def _build(place: Path) -> None:
    if shutil.which("go") is None:
        raise NotAtHand(f"Kubernetes {VERSION} has to be built, and there is no Go (https://go.dev/dl)")
    scratch = place.with_name(f"{_NAME}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "bin").mkdir(parents=True)
    try:
        (scratch / "go.mod").write_text(_module(json.loads(_go(scratch, "mod", "download", "-json", _KUBERNETES))))
        for name, package in _PACKAGES.items():
            print(f"building {name} of Kubernetes {VERSION} (once) ...", file=sys.stderr, flush=True)
            _go(scratch, "build", "-mod=mod", "-trimpath",
                "-ldflags", f"-s -w -X k8s.io/component-base/version.gitVersion=v{VERSION}",
                "-o", f"bin/{name}", package)  # fmt: skip
        (scratch / "bin").replace(place)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _module(kubernetes: dict[str, str]) -> str:
    """A go.mod to build from. Kubernetes names its own parts as v0.0.0 and finds them beside itself in its repository;
    anybody else has to say that they are published as v0.<minor>.<patch>.
    """
    parts = re.findall(r"^\s+(k8s\.io/\S+) v0\.0\.0$", Path(kubernetes["GoMod"]).read_text(), re.M)
    published = VERSION.replace("1.", "v0.", 1)
    replaced = "".join(f"replace {part} => {part} {published}\n" for part in parts)
    return f"module kube\n\ngo 1.24.0\n\ngodebug default=go1.24\n\nrequire k8s.io/kubernetes v{VERSION}\n\n{replaced}"


def _go(directory: Path, *words: str) -> str:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    done = subprocess.run(["go", *words], cwd=directory, env=environment, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if not line.startswith("go: downloading")]
        raise NotAtHand(f"`go {words[0]} … {words[-1]}` failed: {' '.join(said[-5:])[:800]}")
    return done.stdout


def main() -> int:
    try:
        print(kube_programs())
    except (NotAtHand, OSError) as error:
        print(f"NO KUBERNETES: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
