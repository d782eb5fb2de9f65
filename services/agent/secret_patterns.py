"""What a secret looks like in a command line: names, options of programs, shapes. For people: docs/redaction.md."""

from __future__ import annotations

import re

HIDDEN = "***"


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# One of these as a word of a name (`db-password`, `AWS_SECRET`, `keyStorePassword`), or as its end (`PGPASSWORD`).
SECRET_WORDS = words(
    "pass password passwd passphrase passcode pwd pw secret secrets token apikey accesskey secretkey privatekey "
    "credential credentials creds authorization bearer cookie passin passout requirepass masterauth authpass "
    "storepass keypass auth jwt sas signature userpass basicauth psk otp totp"
)
SECRET_ENDS = (
    "password", "passwd", "passphrase", "passcode", "secret", "token", "apikey", "credentials", "secretkey",
    "accesskey", "privatekey", "requirepass", "accountkey", "sharedkey",
)  # fmt: skip
# `key` alone is mostly a file or a column; with one of these before it, it is a secret.
BEFORE_KEY = words(
    "api access secret private account encryption signing auth master session shared storage license service "
    "subscription app application hmac aes webhook"
)
BEFORE_STRING = words("connection connect conn")
# Such a name tells where a secret is or what it is like, not the secret itself.
HARMLESS_ENDS = words(
    "file files path dir directory url uri endpoint ttl timeout expiry expires name type length size count stdin "
    "jar prompt policy provider plugin method mode required enabled command cmd sock socket window grace"
)
HARMLESS_STARTS = words("no ask prompt without disable skip")


# Programs whose one-letter options carry a secret: attached or as the next argument.
NEXT: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("redis-cli", "valkey-cli", "keydb-cli", "redis-benchmark"), ("-a",)),
    **dict.fromkeys(("mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "mongoimport"), ("-p",)),
    **dict.fromkeys(("ldapsearch", "ldapmodify", "ldapadd", "ldapdelete", "ldapwhoami"), ("-w",)),
    "ldappasswd": ("-w", "-s", "-a"),
    **dict.fromkeys(("snmpget", "snmpgetnext", "snmpwalk", "snmpbulkwalk", "snmpset", "snmptrap"), ("-A", "-X", "-c")),
    **dict.fromkeys(("sqlcmd", "bcp", "isql", "zip", "unzip", "mosquitto_pub", "mosquitto_sub", "ipmitool"), ("-P",)),
    **dict.fromkeys(("sshpass", "cqlsh", "rabbitmqadmin", "clickhouse-client"), ("-p",)),
    **dict.fromkeys(("consul", "nomad", "serf"), ("-encrypt",)),
    **dict.fromkeys(("kubectl", "oc"), ("--from-literal",)),
    "ssh-keygen": ("-N", "-P"),
    "curl": ("-b", "--cookie"),
    "influx": ("-p", "-t"),
    "openssl": ("-k", "-K", "-pass", "-passin", "-passout"),
}
# The same where another word says that this is about logging in: elsewhere `-p` is a port.
NEXT_AT_LOGIN: dict[str, tuple[str, ...]] = dict.fromkeys(
    ("docker", "podman", "nerdctl", "buildah", "skopeo", "helm", "az", "oc", "crane"), ("-p",)
)
ATTACHED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        words(
            "mysql mysqldump mysqladmin mysqlimport mysqlshow mysqlcheck mysqlbinlog mysqlsh mysqlslap mysqlpump mytop "
            "mariadb mariadb-dump mariadb-admin mariadb-check mariadb-import mariadb-show mariadb-backup xtrabackup"
        ),
        ("-p",),
    ),
    **dict.fromkeys(("7z", "7za", "7zr", "unrar", "sshpass"), ("-p",)),
    "rar": ("-hp", "-p"),
    "redis-cli": ("-a",),
    "ldapsearch": ("-w",),
    "sqlcmd": ("-P",),
    **dict.fromkeys(("xfreerdp", "xfreerdp3", "wfreerdp"), ("/p:",)),
    **dict.fromkeys(("consul", "nomad", "serf"), ("-encrypt=",)),
    **dict.fromkeys(("kubectl", "oc"), ("--from-literal=",)),
}
# Options with `user:password` or `user%password`; the user is kept.
PAIRS: dict[str, tuple[str, ...]] = {
    "curl": ("-u", "--user", "-U", "--proxy-user", "-E", "--cert"),
    **dict.fromkeys(("http", "https"), ("-a", "--auth")),
    "smbclient": ("-U", "--user"),
    "ab": ("-A", "-P"),
}
# Switches that may stand before a one-letter option within the same argument: `-sSfu`.
SWITCHES = {"curl": "fgijklnqsvGILNS#"}
# Arguments like `user/password@database`.
LOGINS = words("sqlplus sqlldr exp imp expdp impdp rman")
TOOLS = NEXT.keys() | NEXT_AT_LOGIN.keys() | ATTACHED.keys() | PAIRS.keys() | LOGINS

# As an argument of its own such a word, or a name of several like `aws_secret_access_key`, is followed by the secret.
BEFORE_SECRET = words("password passphrase psk")

ANYWHERE: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, flags), replacement)
    for pattern, flags, replacement in (
        # https://user:password@host; an address without a user may have one of the kind `:password@`
        (r"(?P<keep>(?<![a-z0-9+.\-])[a-z][a-z0-9+.\-]*+://[^\s/:@'\"]*+:)[^\s'\"]*(?=@)", re.I, rf"\g<keep>{HIDDEN}"),
        # user:password@host, but no image:tag@sha256:digest
        (r"(?P<keep>(?<![\w.\-:/@])[\w.\-]++:)[^\s:@/'\"]+(?=@(?!sha\d)[\w.\-\[])", 0, rf"\g<keep>{HIDDEN}"),
        # Authorization: Bearer …, X-Api-Key: …, Cookie: …
        (
            r"(?P<keep>\bauthorization\s*[:=]\s*(?:basic|bearer|token|digest|negotiate|apikey|aws4-[\w-]+)?\s*)[^'\"]+",
            re.I,
            rf"\g<keep>{HIDDEN}",
        ),
        (
            r"(?P<keep>\b(?:x-[\w-]*(?:key|token|auth|secret)[\w-]*|cookie)\s*:\s*)[^'\"]+",
            re.I,
            rf"\g<keep>{HIDDEN}",
        ),
        (r"(?P<keep>\b(?:bearer|basic)\s+)[A-Za-z0-9\-._~+/]{8,}=*", re.I, rf"\g<keep>{HIDDEN}"),
        # -----BEGIN … PRIVATE KEY-----
        (r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----.*?(-----END [A-Z0-9 ]*-----|$)", re.S, HIDDEN),
        # JSON web tokens
        (r"\beyJ[\w-]{6,}\.[\w-]+(\.[\w-]*)?", 0, HIDDEN),
        # keys that name their maker: AWS, GitHub, GitLab, Slack, Stripe, Google, npm, PyPI, OpenAI and kin, SendGrid, …
        (r"\b(?:AKIA|ASIA|AGPA|AROA|AIDA)[A-Z0-9]{12,}", 0, HIDDEN),
        (r"\b(?:gh[pousr]_\w{16,}|github_pat_\w{16,}|gl(?:pat|rt|dt|ft)-[\w-]{16,})", 0, HIDDEN),
        (r"\bxox[abeoprs]-[\w-]{8,}|\bxapp-[\w-]{8,}", 0, HIDDEN),
        (r"\b[rsp]k_(?:live|test)_\w{8,}|\bwhsec_\w{8,}", 0, HIDDEN),
        (r"\bAIza[\w-]{30,}|\bya29\.[\w-]{16,}|\bGOCSPX-[\w-]{16,}", 0, HIDDEN),
        (r"\b(?:npm_\w{20,}|pypi-[\w-]{20,}|dop_v1_\w{20,}|hf_\w{20,}|hv[sb]\.[\w-]{20,})", 0, HIDDEN),
        (r"\bsk-[\w-]{20,}|\bSG\.[\w-]{16,}\.[\w-]{16,}", 0, HIDDEN),
        (r"\bhooks\.slack\.com/services/[\w/]+", 0, f"hooks.slack.com/services/{HIDDEN}"),
        (
            r"(?P<keep>\bdiscord(?:app)?\.com/api/webhooks/|\bapi\.telegram\.org/bot)[\w:/\-]+",
            0,
            rf"\g<keep>{HIDDEN}",
        ),
        # ?token=…&sig=…
        (
            r"(?P<keep>[?&](?:access_?token|refresh_?token|id_?token|token|api_?key|key|password|passwd|pwd|secret|sig|signature"
            r"|client_?secret|x-amz-(?:signature|security-token|credential)|x-goog-signature|code)=)[^&\s'\"#]+",
            re.I,
            rf"\g<keep>{HIDDEN}",
        ),
    )
)  # fmt: skip
