"""Certificates for tests, by the openssl that is on every machine; and a TLS front for a server that has none."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

LONG_AGO = ("20240101000000Z", "20240102000000Z")


@dataclass(frozen=True)
class Authority:
    """``certificate`` is what a client trusts."""

    certificate: Path
    key: Path

    def server(self, name: str = "localhost", *, days: tuple[str, str] | None = None) -> ssl.SSLContext:
        """A server's context with the certificate of ``issue``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(name, days=days))
        return context

    def issue(self, name: str, *, days: tuple[str, str] | None = None) -> tuple[Path, Path]:
        """A certificate for ``name`` (a DNS name or an address) and its key; ``days``: from and until, as
        ``YYYYMMDDHHMMSSZ``.
        """
        stem = f"{self.key.parent}/{name}-{'now' if days is None else days[1]}"
        kind = "IP" if name.replace(".", "").isdigit() else "DNS"
        Path(f"{stem}.ext").write_text(f"subjectAltName={kind}:{name}\n")
        _openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                 "-keyout", f"{stem}.key", "-out", f"{stem}.csr")  # fmt: skip
        if days is None:
            _openssl("x509", "-req", "-in", f"{stem}.csr", "-CA", str(self.certificate), "-CAkey", str(self.key),
                     "-CAcreateserial", "-days", "2", "-extfile", f"{stem}.ext", "-out", f"{stem}.pem")  # fmt: skip
        else:
            Path(f"{stem}.db").touch()
            Path(f"{stem}.cnf").write_text(
                f"[ca]\ndefault_ca=d\n[d]\ndatabase={stem}.db\nnew_certs_dir={self.key.parent}\nrand_serial=yes\n"
                "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n"
            )
            _openssl("ca", "-batch", "-config", f"{stem}.cnf", "-in", f"{stem}.csr", "-cert", str(self.certificate),
                     "-keyfile", str(self.key), "-startdate", days[0], "-enddate", days[1],
                     "-extfile", f"{stem}.ext", "-out", f"{stem}.pem", "-notext")  # fmt: skip
        return Path(f"{stem}.pem"), Path(f"{stem}.key")


def authority(directory: Path) -> Authority:
    """Skips the test where there is no openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make certificates with")
    directory.mkdir(parents=True, exist_ok=True)
    key, certificate = directory / "ca.key", directory / "ca.pem"
    _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test authority",
             "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
             "-keyout", str(key), "-out", str(certificate))  # fmt: skip
    return Authority(certificate, key)


@asynccontextmanager
async def tls_front(context: ssl.SSLContext, port: int) -> AsyncIterator[int]:
    """Ends TLS and passes everything on to ``port`` of this machine, as a reverse proxy does. Gives its own port."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        with suppress(OSError, asyncio.CancelledError):
            try:
                inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
                back = asyncio.create_task(_pass_on(inner_reader, writer))
                await _pass_on(reader, inner_writer)
                await back
            finally:
                writer.close()
        tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    writer.close()


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
