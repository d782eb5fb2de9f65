"""The product's images from its Dockerfile, on a base made here, and stand-ins for the images of others."""

from __future__ import annotations

import os
import shutil
import ssl
import sys
import tempfile
from pathlib import Path

from shared.broker.jars import cache_dir, kafka_jars
from tests.containers.engine import Engine, run

REPOSITORY = Path(__file__).parents[2]
STANDINS = Path(__file__).parent / "standins"
BASE = "lapwing-test:base-1"  # count it when what is in it changes
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
BUILD_WITHIN = 3600.0


def build_all(engine: Engine) -> dict[str, str]:
    """What to tell docker-compose.yml. What is there and has not changed is not built again."""
    if not engine.docker("images", "--quiet", BASE).strip():
        _make_base(engine)
    for extra in ("server", "agent"):
        dockerfile = str(REPOSITORY / "deploy/docker/Dockerfile")
        arguments = ["--build-arg", f"EXTRA={extra}", "--build-arg", f"BASE={BASE}", *_index(engine)]
        # With a tag of its own the first stage survives the tidying below, and the packages with it.
        _build(engine, REPOSITORY, f"lapwing-test:build-{extra}", "-f", dockerfile, *arguments, "--target", "build")
        _build(engine, REPOSITORY, f"lapwing:{extra}", "-f", dockerfile, *arguments)
    with tempfile.TemporaryDirectory() as scratch:
        context = Path(scratch) / "context"
        shutil.copytree(STANDINS, context)
        shutil.copy(REPOSITORY / "requirements.lock", context)
        shutil.copytree(kafka_jars(cache_dir()), context / "libs")
        for name in ("tools", "kafka", "clickhouse", "mail"):
            _build(engine, context, f"lapwing-test:{name}", *_index(engine), "--target", name)
    engine.docker("image", "prune", "--force")
    standins = {f"{name.upper()}_IMAGE": f"lapwing-test:{name}" for name in ("kafka", "clickhouse", "mail")}
    return {"LAPWING_BASE": BASE, **standins}


def _build(engine: Engine, context: Path, tag: str, *words: str) -> None:
    engine.docker("build", "--network", "host", *words, "--tag", tag, str(context), within=BUILD_WITHIN)


def _make_base(engine: Engine) -> None:
    """Debian with its Python, that trusts whom this machine trusts."""
    with tempfile.TemporaryDirectory(prefix="lapwing-base-") as scratch:
        root = Path(scratch) / "root"
        packages = cache_dir() / "containers" / "packages"  # who was cut off does not fetch them again
        packages.mkdir(parents=True, exist_ok=True)
        words = ("--variant=minbase", "--include=python3,python3-venv", f"--cache-dir={packages}", "bookworm")
        run("debootstrap", *words, str(root), within=BUILD_WITHIN)
        for needless in ("var/cache/apt", "var/lib/apt/lists"):
            shutil.rmtree(root / needless)
        if ours := ssl.get_default_verify_paths().cafile:
            (root / CERTIFICATES).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ours, root / CERTIFICATES)
        archive = Path(scratch) / "root.tar"
        run("tar", "--numeric-owner", "-C", str(root), "-cf", str(archive), ".")
        engine.docker("import", "--change", f"ENV PIP_CERT=/{CERTIFICATES}", str(archive), BASE)


def _index(engine: Engine) -> list[str]:
    """The packages come from where this machine takes them."""
    url = run(sys.executable, "-m", "pip", "config", "get", "global.index-url", check=False).strip()
    url = os.environ.get("PIP_INDEX_URL") or (url if url.startswith("http") else "")
    engine.environ["PIP_INDEX_URL"] = url
    return ["--build-arg", "PIP_INDEX_URL"] if url else []
