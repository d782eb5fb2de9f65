"""Debian's Postfix, on loopback: STARTTLS, TLS, and nobody without a password. Its master wants root."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support.exim import Exim, listening
from tests.support.ports import free_ports
from tests.support.tls import Authority

PACKAGES = (
    *("postfix", "libicu72", "libdb5.3", "libnsl2", "libtirpc3", "libnss-wrapper"),
    *("libsasl2-2", "libsasl2-modules", "libsasl2-modules-db", "sasl2-bin"),
)
OWNER, DROP, NOBODY = 64_901, 64_902, 65_534
QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace")

MAIN = """
compatibility_level = 3.6
queue_directory = {run}/queue
data_directory = {run}/data
daemon_directory = {root}/usr/lib/postfix/sbin
command_directory = {root}/usr/sbin
shlib_directory = {root}/usr/lib/postfix
mail_owner = postfix
setgid_group = postdrop
default_privs = nobody
import_environment = MAIL_CONFIG LD_LIBRARY_PATH LD_PRELOAD NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP SASL_PATH
maillog_file = {run}/postfix.log
maillog_file_prefixes = {run}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.example.org
mydestination =
alias_maps =
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_sasl_auth_enable = yes
smtpd_sasl_local_domain = mail.example.org
smtpd_client_restrictions = permit_sasl_authenticated, check_client_access static:{{550 authenticate first}}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = check_recipient_access inline:{{
  {{gone@example.org = 550 no such user here}}, {{locked@example.org = 450 mailbox is locked}} }}
virtual_mailbox_domains = example.org
virtual_mailbox_base = {run}
virtual_mailbox_maps = static:mail/
virtual_uid_maps = static:{nobody}
virtual_gid_maps = static:{nobody}
"""
MASTER = """
127.0.0.1:{starttls} inet n - n - - smtpd
127.0.0.1:{tls} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


def postfix(authority: Authority) -> AbstractContextManager[Exim]:
    """One that listens, until the end."""
    if os.getuid() != 0:
        pytest.skip("only root may start Postfix")
    return listening("postfix", PACKAGES, _start, authority)


def _start(run: Path, packages: Path, authority: Authority) -> tuple[subprocess.Popen[bytes], Exim]:
    starttls, tls = free_ports(2)
    root = run / "root"
    shutil.copytree(packages, root, symlinks=True)  # a cache in root's home is not for its other users
    run.chmod(0o755)
    certificate, key = (Path(shutil.copy(file, run)) for file in authority.issue("localhost"))
    words = {"run": run, "root": root, "certificate": certificate, "key": key, "nobody": NOBODY}
    conf = run / "conf"
    conf.mkdir()
    (conf / "main.cf").write_text(MAIN.format(**words))
    (conf / "master.cf").write_text(MASTER.format(starttls=starttls, tls=tls))
    _folders(run)
    (run / "passwd").write_text(
        f"root:x:0:0::/:/bin/sh\npostfix:x:{OWNER}:{OWNER}::/:/bin/sh\nnobody:x:{NOBODY}:{NOBODY}::/:/bin/sh\n"
    )
    (run / "group").write_text(f"root:x:0:\npostfix:x:{OWNER}:\npostdrop:x:{DROP}:\nnogroup:x:{NOBODY}:\n")
    libraries = next(root.glob("usr/lib/*-linux-gnu"))
    environment = {
        "PATH": os.environ["PATH"],
        "MAIL_CONFIG": str(conf),
        "LD_LIBRARY_PATH": f"{root}/usr/lib/postfix:{libraries}",
        "LD_PRELOAD": str(libraries / "libnss_wrapper.so"),
        "NSS_WRAPPER_PASSWD": str(run / "passwd"),
        "NSS_WRAPPER_GROUP": str(run / "group"),
        "SASL_PATH": str(libraries / "sasl2"),
    }
    _password(run, root, environment)
    with (run / "said").open("ab") as said:
        process = subprocess.Popen(
            [str(root / "usr/lib/postfix/sbin/master"), "-c", str(conf), "-d"],
            env=environment,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    return process, Exim(run, starttls, tls)


def _folders(run: Path) -> None:
    for name in ("queue", "queue/pid", "data", "mail", "conf/sasl", *(f"queue/{n}" for n in QUEUES)):
        (run / name).mkdir()
    for name in ("data", *(f"queue/{n}" for n in QUEUES)):
        os.chown(run / name, OWNER, 0)
        (run / name).chmod(0o700)
    for name, mode in (("public", 0o710), ("maildrop", 0o730)):
        (run / "queue" / name).mkdir()
        os.chown(run / "queue" / name, OWNER, DROP)
        (run / "queue" / name).chmod(mode)
    os.chown(run / "mail", NOBODY, NOBODY)


def _password(run: Path, root: Path, environment: dict[str, str]) -> None:
    file = run / "sasldb"
    (run / "conf" / "sasl" / "smtpd.conf").write_text(
        f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {file}\nmech_list: PLAIN LOGIN\n"
    )
    words = ["-p", "-c", "-f", str(file), "-u", "mail.example.org", "lapwing"]
    subprocess.run(
        [str(root / "usr/sbin/saslpasswd2"), *words], input=b"pee-wit", env=environment, check=True, timeout=30
    )
    file.chmod(0o644)
