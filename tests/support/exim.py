"""A real mail server, Debian's Exim, on loopback and without a right: STARTTLS, TLS, and nobody without a password."""

from __future__ import annotations

import email
import email.policy
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from tests.support.debian import at_hand, unpacked
from tests.support.ports import free_ports
from tests.support.tls import Authority

STARTS_WITHIN = 60  # seconds
PACKAGES = ("exim4-daemon-light", "libidn12", "libgnutls-dane0", "libunbound8", "libevent-2.1-7", "libnss-wrapper")

CONFIG = """
exim_path = {exim}
spool_directory = {run}/spool
log_file_path = {run}/log/%slog
pid_file_path = {run}/exim.pid
primary_hostname = mail.example.org
local_interfaces = 127.0.0.1.{starttls} : 127.0.0.1.{tls}
tls_on_connect_ports = {tls}
tls_advertise_hosts = *
tls_certificate = {certificate}
tls_privatekey = {key}
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}
never_users =
keep_environment = LD_LIBRARY_PATH : LD_PRELOAD : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP
message_size_limit = 5M
acl_smtp_rcpt = rcpt
begin acl
rcpt:
  deny message = authenticate first
       !authenticated = *
  deny message = no such user here
       local_parts = gone
  defer message = mailbox is locked
       local_parts = locked
  accept
begin routers
all:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  directory = {run}/mail
  maildir_format
  create_directory
  user = Debian-exim
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{lapwing}}}}{{eq{{$auth3}}{{pee-wit}}}}}}}}
  server_set_id = $auth2
"""


@dataclass(frozen=True)
class Exim:
    directory: Path
    starttls: int
    tls: int

    def messages(self) -> list[EmailMessage]:
        """What is in the box, in no order."""
        found = []
        for file in self.directory.glob("mail/new/*"):
            message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
            assert isinstance(message, EmailMessage)
            found.append(message)
        return found

    def empty(self) -> None:
        for file in self.directory.glob("mail/new/*"):
            file.unlink()

    def listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.starttls), 2):
            return True
        return False


Start = Callable[[Path, Path, Authority], tuple[subprocess.Popen[bytes], "Exim"]]


@contextmanager
def listening(name: str, packages: Sequence[str], start: Start, authority: Authority) -> Iterator[Exim]:
    """A server of these packages: ``start(its directory, where they are unpacked, authority)``; until the end."""
    there = at_hand(lambda: unpacked(name, *packages))
    with tempfile.TemporaryDirectory(prefix=f"lapwing-{name}-") as directory:
        process, it = start(Path(directory), there, authority)
        try:
            _until_it_listens(name, it, process)
            yield it
        finally:
            # With its children: one that still delivers would write on into what is being removed.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def exim(authority: Authority) -> AbstractContextManager[Exim]:
    """One that listens, until the end."""
    return listening("exim", PACKAGES, _start, authority)


def _start(run: Path, packages: Path, authority: Authority) -> tuple[subprocess.Popen[bytes], Exim]:
    starttls, tls = free_ports(2)
    # Exim insists on a user of its own, whom this machine need not have, and who may not be root.
    uid = os.getuid() or 65_534
    shutil.copytree(packages, run / "root", symlinks=True)  # a cache in root's home is not for him
    program, libraries = run / "root/usr/sbin/exim4", next(run.glob("root/usr/lib/*-linux-gnu"))
    for folder in ("spool", "log", "mail"):
        (run / folder).mkdir()
    certificate, key = (Path(shutil.copy(file, run)) for file in authority.issue("localhost"))
    (run / "exim.conf").write_text(
        CONFIG.format(exim=program, run=run, starttls=starttls, tls=tls, certificate=certificate, key=key)
    )
    (run / "passwd").write_text(f"root:x:0:0::/:/bin/sh\nDebian-exim:x:{uid}:{uid}::/:/bin/sh\nmail:x:8:8::/:/bin/sh\n")
    (run / "group").write_text(f"root:x:0:\nDebian-exim:x:{uid}:\nmail:x:8:\n")
    others: dict[str, Any] = {}
    if os.getuid() == 0:
        others = {"user": uid, "group": uid, "extra_groups": []}
        for file in (run, *run.rglob("*")):
            if file.name != "exim.conf":  # which its user could change is not believed
                os.chown(file, uid, uid, follow_symlinks=False)
    with (run / "said").open("ab") as said:
        process = subprocess.Popen(
            [str(program), "-C", str(run / "exim.conf"), "-bdf"],
            env={
                "PATH": os.environ["PATH"],
                "LD_LIBRARY_PATH": str(libraries),
                "LD_PRELOAD": str(libraries / "libnss_wrapper.so"),
                "NSS_WRAPPER_PASSWD": str(run / "passwd"),
                "NSS_WRAPPER_GROUP": str(run / "group"),
            },
            stdout=said,
            stderr=said,
            start_new_session=True,
            **others,
        )
    return process, Exim(run, starttls, tls)


def _until_it_listens(name: str, it: Exim, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + STARTS_WITHIN
    while process.poll() is None and time.monotonic() < until:
        if it.listens():
            return
        time.sleep(0.05)
    logs = [f.read_text()[-2000:] for f in (it.directory / "said", it.directory / f"{name}.log") if f.exists()]
    raise AssertionError(f"{name} does not listen; it said:\n" + "\n".join(logs))
